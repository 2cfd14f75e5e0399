#pragma once

#include <torch/types.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace rahf {

/// The four scores that people give a picture, in the order used by every [.., 4] tensor.
/// All are in [0, 1] and higher is better.
inline constexpr std::array<std::string_view, 4> kScoreNames = {"plausibility", "alignment",
                                                                "aesthetics", "overall"};
/// The two heatmaps, in the order used by every list of both. Higher is worse.
inline constexpr std::array<std::string_view, 2> kMapNames = {"implausibility", "misalignment"};

/// One word of a prompt and whether the picture misses it.
struct WordJudgement {
  std::string word;          ///< As in the prompt, without the punctuation around it.
  torch::Tensor misaligned;  ///< scalar f32, P(misaligned) in [0, 1]; has a gradient if images do
};

/// What a reward says about B pictures made for B prompts. Undefined or empty where not asked
/// for or not offered.
struct Judgement {
  torch::Tensor scores;  ///< [B, K] f32 in [0, 1], higher is better; K = score_names().size()
  torch::Tensor implausibility;                   ///< [B, H, W] f32 in [0, 1], higher is worse
  torch::Tensor misalignment;                     ///< [B, H, W] f32 in [0, 1], higher is worse
  std::vector<std::vector<WordJudgement>> words;  ///< per prompt, its words in order
};

}  // namespace rahf
