#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace rahf::reward {

/// Which part of a dataset a picture is in. Values are those of the dataset's `split` table.
enum class Split : std::uint8_t { kTrain = 0, kDev = 1, kTest = 2 };

/// "train", "dev", "test": by the value of Split.
inline constexpr std::array<std::string_view, 3> kSplitNames = {"train", "dev", "test"};

/// The split of all pictures of a prompt: a function of its words and the seed, so no prompt is in
/// two splits, in however many files. Punctuation and spacing make no difference.
/// @param dev_share, test_share  expected shares of prompts, in [0, 1], together at most 1
Split split_of(std::string_view prompt, double dev_share, double test_share, std::uint64_t seed);

}  // namespace rahf::reward
