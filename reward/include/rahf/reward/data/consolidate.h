#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rahf/core/io/image_file.h"
#include "rahf/core/options.h"
#include "rahf/reward/data/annotation.h"

namespace rahf::reward {

/// "Effective radius" of a click, as a share of the picture's height (RAHF, section 3.2).
inline constexpr double kClickRadius = 1.0 / 20;

/// What one annotator marked: the union of disks around the clicks. A pixel belongs to the disk of
/// (x, y) if its centre lies in it or on its edge: row i and column j do if
/// (j + 1/2 - x)^2 + (i + 1/2 - y)^2 <= (H / 20)^2. The pixel that was clicked always belongs.
/// @return [H, W] u8, 1 in the union
torch::Tensor annotator_map(const std::vector<Point>& points, std::int64_t height,
                            std::int64_t width);

/// The feedback of all annotators of one picture as one.
struct Consolidated {
  std::array<float, 4> scores;   ///< mean of (s - 1) / 4 over annotators, in [0, 1]
  torch::Tensor implausibility;  ///< [H, W] u8, round(255 x mean of the annotators' maps)
  torch::Tensor misalignment;    ///< [H, W] u8
  std::vector<std::uint8_t> misaligned_words;  ///< per word, 1 if more than half marked it
};

/// @param annotations  one or more, of one picture
/// @throws Error if there is none.
Consolidated consolidate(const std::vector<Annotation>& annotations, std::int64_t height,
                         std::int64_t width);

struct ConsolidateOptions {
  std::string annotations;    ///< JSON Lines, one record per picture and annotator.
  std::string pictures;       ///< Folder that the records' `image` is relative to.
  std::string out;            ///< The dataset, HDF5.
  std::int64_t map_size = 0;  ///< S, height and width of the heatmaps, pixels; 0: the pictures' own
                              ///< size if all are alike and square, else 512; 0 or more.
  double dev_share = 0;       ///< Share of prompts for development; in [0, 1].
  double test_share = 0;  ///< Share of prompts for testing; in [0, 1]; the rest is for training.
  std::uint64_t split_seed = 0;              ///< Another seed is another split.
  bool skip_bad = false;                     ///< Leave bad records out instead of stopping.
  std::int64_t max_pixels = io::kMaxPixels;  ///< Most pixels of a picture; in [1, 2^28].

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("annotations", self.annotations, "JSON Lines, one record per picture and annotator");
    visit("pictures", self.pictures, "folder that the records' image is relative to");
    visit("out", self.out, "the dataset to write, HDF5");
    visit("map_size", self.map_size,
          "height and width of heatmaps, pixels; 0: the pictures' size if all alike and square, "
          "else 512; >= 0");
    visit("dev_share", self.dev_share, "share of prompts for development; in [0, 1]");
    visit("test_share", self.test_share, "share of prompts for testing; in [0, 1]");
    visit("split_seed", self.split_seed, "another seed is another split");
    visit("skip_bad", self.skip_bad, "leave bad records out instead of stopping");
    visit("max_pixels", self.max_pixels, "most pixels of a picture; in [1, 2^28]");
  }
  /// @throws ConfigError naming the option.
  void validate() const;
};

struct ConsolidateReport {
  std::int64_t pictures = 0;      ///< In the dataset.
  std::int64_t records = 0;       ///< That went into it.
  std::int64_t continued_at = 0;  ///< Pictures that an earlier, interrupted call had written.
  std::int64_t map_size = 0;
  std::vector<Problem> problems;  ///< One per bad record, in the file's order.
  bool written = false;           ///< False if problems kept it from writing.
};

/// Annotations and pictures to a dataset. Records of a picture need not be adjacent; pictures come
/// in the order in which the file first names them. Everything is checked before anything is
/// written. Memory grows with the number of records, not with pictures and maps.
///
/// Works in the folder `out`.partial, which goes away at the end. A call that finds the folder of
/// an interrupted call with the same annotations and options goes on where that one stopped; one
/// from other input is replaced.
/// @throws FileError if the annotations cannot be read, hold no good record, or writing fails.
ConsolidateReport consolidate(const ConsolidateOptions& options);

}  // namespace rahf::reward
