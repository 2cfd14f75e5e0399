#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/io/hdf5.h"
#include "rahf/reward/data/annotation.h"
#include "rahf/reward/data/sample.h"
#include "rahf/reward/data/split.h"

namespace rahf::reward {

/// One picture of a dataset as it is stored. A dataset file has one table (io::Hdf5File) per field,
/// under its name:
///
///     image, prompt            strings
///     picture                  bytes, the encoded picture as it came
///     size                     [N, 2] i32, the picture's height and width
///     scores                   [N, 4] f32 in kScoreNames order
///     implausibility,
///     misalignment             [N, S, S] u8
///     misaligned_words         bytes, one flag per word
///     annotations              strings: JSON arrays of the raw records
///     split                    [N] u8, Split
///
/// and, as attributes of the file, `format`, `format_version`, `writer`, units, and what it was
/// made from.
struct DatasetRow {
  std::string image;
  std::string prompt;
  std::vector<std::uint8_t> picture;
  std::int64_t height = 0;  ///< Of the picture.
  std::int64_t width = 0;
  std::array<float, 4> scores = {};
  torch::Tensor implausibility;  ///< [S, S] u8
  torch::Tensor misalignment;    ///< [S, S] u8
  std::vector<std::uint8_t> misaligned_words;
  std::vector<Annotation> annotations;  ///< May be empty where raw feedback is unknown.
  Split split = Split::kTrain;
};

/// Writes a dataset so that a killed program can go on. Each append() leaves one complete file in
/// the folder FILE.partial, and finish() joins them to FILE: a file of HDF5 that is open for
/// writing when its program dies cannot be trusted.
class DatasetWriter {
 public:
  using Attributes = std::map<std::string, std::string>;

  /// Goes on with FILE.partial if it was written with these attributes and map size; begins anew
  /// otherwise.
  /// @param map_size    S
  /// @param attributes  where the data comes from and every option that shapes it
  DatasetWriter(std::filesystem::path file, std::int64_t map_size, Attributes attributes);

  /// Rows that are safe; the next one to append.
  std::int64_t size() const { return size_; }

  /// Adds rows; when it returns they survive the end of the process. Meant for some hundred rows.
  void append(std::span<const DatasetRow> rows);

  /// Completes the file under its own name.
  void finish();

 private:
  std::filesystem::path part_file(std::int64_t begin) const;
  std::int64_t count_part(const std::filesystem::path& part) const;
  io::Hdf5File create(const std::filesystem::path& path) const;

  std::filesystem::path file_;
  std::filesystem::path partial_;
  std::int64_t map_size_;
  Attributes attributes_;
  std::int64_t size_ = 0;
  std::vector<std::filesystem::path> parts_;
};

/// One or more dataset files read as one, in the order given. Names, prompts, scores and word
/// labels are in memory; pictures and maps are read when asked for. All methods are thread-safe.
class Dataset {
 public:
  /// @throws FileError if a file is missing or is no dataset, its tables differ in length, element
  ///         type or shape from what they must be, a score, size, split or flag is out of range, or
  ///         a prompt has not as many flags as words.
  explicit Dataset(const std::vector<std::filesystem::path>& files);

  std::int64_t size() const { return static_cast<std::int64_t>(rows_.size()); }

  /// @throws FileError if the picture cannot be decoded, or has another size than the file says.
  Sample at(std::int64_t i) const;

  const std::string& image(std::int64_t i) const { return row(i).image; }
  const std::string& prompt(std::int64_t i) const { return row(i).prompt; }
  const std::array<float, 4>& scores(std::int64_t i) const { return row(i).scores; }
  const std::vector<std::uint8_t>& misaligned_words(std::int64_t i) const {
    return row(i).misaligned_words;
  }
  Split split(std::int64_t i) const { return row(i).split; }
  /// Height and width of the picture, pixels.
  std::array<std::int64_t, 2> picture_size(std::int64_t i) const { return row(i).size; }

  /// The encoded picture.
  std::vector<std::uint8_t> picture(std::int64_t i) const;
  /// [S, S] u8: kMapNames[which], 255 x the share of annotators who marked the place
  torch::Tensor map(std::size_t which, std::int64_t i) const;
  /// What each annotator said, clicks in the picture's own pixels; see annotator_map().
  std::vector<Annotation> annotations(std::int64_t i) const;

  /// Rows of a split, in order.
  /// @param split  "train", "dev", "test" or "all"
  /// @throws ConfigError for another name.
  std::vector<std::int64_t> indices(std::string_view split) const;

 private:
  struct Row {
    std::string image;
    std::string prompt;
    std::array<float, 4> scores;
    std::array<std::int64_t, 2> size;
    std::vector<std::uint8_t> misaligned_words;
    Split split;
    std::int64_t file;   ///< Index into files_.
    std::int64_t index;  ///< Row in that file.
  };
  const Row& row(std::int64_t i) const;
  static void check_row(const Row& row, const std::string& where);
  void load(const std::filesystem::path& file);

  std::vector<io::Hdf5File> files_;
  std::vector<Row> rows_;
};

}  // namespace rahf::reward
