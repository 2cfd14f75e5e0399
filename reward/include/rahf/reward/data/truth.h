#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rahf/core/io/hdf5.h"

namespace rahf::reward {

/// What can be wrong with a word, by the codes of `word_kinds`.
inline constexpr std::array<std::string_view, 7> kWordKinds = {
    "none", "colour", "shape", "size", "count", "relation", "missing"};

/// What is exactly true of a picture for its prompt.
struct ExactTruth {
  std::array<float, 4> scores;   ///< In kScoreNames order, in [0, 1], higher is better.
  torch::Tensor implausibility;  ///< [H, W] f32 in [0, 1]
  torch::Tensor misalignment;    ///< [H, W] f32 in [0, 1]
  std::vector<std::uint8_t> misaligned_words;  ///< One flag per word.
  std::vector<std::uint8_t> word_kinds;        ///< One per word, indices into kWordKinds.
  bool flawed;                                 ///< Something about it is implausible.
  bool mismatched;                             ///< Something about it is not as the prompt says.
};

/// A file of exact truth, as the closed world writes it (`truth.h5`): strings `image`, `prompt`,
/// `flaws`, `mismatches` (empty where there is none); `scores` [N, 4] f32; `implausibility` and
/// `misalignment` [N, H, W] u8; bytes `misaligned_words`, `word_kinds`. Thread-safe.
class TruthFile {
 public:
  /// @throws FileError if the file is missing or no such file.
  explicit TruthFile(const std::filesystem::path& file);

  /// @param image, prompt  as in the annotations
  /// @throws FileError if the file has no such picture, or has it for another prompt.
  ExactTruth find(const std::string& image, const std::string& prompt) const;

 private:
  std::string name_;
  io::Hdf5File file_;
  std::unordered_map<std::string, std::int64_t> row_of_;
};

}  // namespace rahf::reward
