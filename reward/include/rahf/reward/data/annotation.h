#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/error.h"
#include "rahf/core/judgement.h"

namespace rahf::reward {

/// A click on a picture, in pixels from its top-left corner, x to the right and y down: the pixel
/// in row i and column j covers [j, j + 1) x [i, i + 1). Inside a picture means 0 <= x < width and
/// 0 <= y < height.
struct Point {
  double x = 0;
  double y = 0;
  bool operator==(const Point&) const = default;
};

/// What one person said about one picture: one line of an annotation file, a JSON object
///
///     {"image": "a.png", "prompt": "a red cat", "annotator": "ann",
///      "implausible_points": [[x, y], ...], "misaligned_points": [[x, y], ...],
///      "misaligned_words": [1],
///      "scores": {"plausibility": 4, "alignment": 2, "aesthetics": 3, "overall": 3}}
struct Annotation {
  std::string image;  ///< Path of the picture below the folder of pictures.
  std::string prompt;
  std::string annotator;
  std::vector<Point> implausible_points;
  std::vector<Point> misaligned_points;
  std::vector<std::int64_t> misaligned_words;                ///< Indices into split_words(prompt).
  std::array<std::int64_t, kScoreNames.size()> scores = {};  ///< 1 (worst) to 5.
  bool operator==(const Annotation&) const = default;
};

/// Reads one record. Every key must be there, and no other; scores must be whole numbers from 1 to
/// 5; word indices must be below the number of the prompt's words.
/// @throws FileError saying what is wrong, without file and line.
Annotation parse_annotation(std::string_view json);

/// @throws FileError naming the first click that lies outside a picture of this size.
void check_points(const Annotation& annotation, std::int64_t height, std::int64_t width);

/// One line of an annotation file, without the line end.
std::string write_annotation(const Annotation& annotation);

/// A picture's annotations as one JSON array of records without `image` and `prompt`; datasets keep
/// the raw feedback so.
std::string write_annotations(const std::vector<Annotation>& annotations);
std::vector<Annotation> parse_annotations(std::string_view json, const std::string& image,
                                          const std::string& prompt);

/// Something wrong with a record; the record is of no use.
struct Problem {
  std::string file;
  std::int64_t line = 0;  ///< From 1.
  std::string reason;
  /// "FILE:LINE: REASON"
  std::string text() const;
};

/// The lines of a text file one after the other, with their places. Empty lines are passed over.
class LineReader {
 public:
  struct Line {
    std::string text;
    std::int64_t number = 0;  ///< From 1.
    std::int64_t offset = 0;  ///< Bytes from the start of the file.
  };

  /// @throws FileError if the file cannot be opened.
  explicit LineReader(const std::filesystem::path& file);

  /// Up to `count` further lines; fewer only at the end of the file.
  /// @throws FileError if reading fails.
  std::vector<Line> read(std::int64_t count);

  /// FNV-1a hash of all bytes read so far.
  std::uint64_t hash() const { return hash_; }
  std::int64_t bytes() const { return offset_; }

 private:
  std::filesystem::path file_;
  std::ifstream in_;
  std::int64_t number_ = 0;
  std::int64_t offset_ = 0;
  std::uint64_t hash_ = 14695981039346656037u;
};

}  // namespace rahf::reward
