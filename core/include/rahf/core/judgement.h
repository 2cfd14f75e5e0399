#pragma once

#include <torch/types.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/prompt.h"

namespace rahf {

/// The four scores that people give a picture, in the order used by every [.., 4] tensor.
/// All are in [0, 1] and higher is better.
inline constexpr std::array<std::string_view, 4> kScoreNames = {"plausibility", "alignment",
                                                                "aesthetics", "overall"};
/// The two heatmaps, in the order used by every list of both. Higher is worse.
inline constexpr std::array<std::string_view, 2> kMapNames = {"implausibility", "misalignment"};

/// The words of B prompts, each as in the prompt without the punctuation around it, and how likely
/// the picture misses them. W is the most words that a prompt has, 0 if none has any.
struct Words {
  std::vector<std::vector<std::string>> text;  ///< Per prompt, its words in order; no padding.
  torch::Tensor misaligned;  ///< [B, W] f32 P(misaligned) in [0, 1], 0 where there is no word
  torch::Tensor mask;        ///< [B, W] bool, which exist
};

/// The prompts' words with their mask, on `device`; `misaligned` is left undefined.
Words lay_out_words(const Prompts& prompts, torch::Device device);

/// What a reward says about B pictures made for B prompts. Undefined or empty where not asked for
/// or not offered; never NaN, which check_judgement() refuses.
struct Judgement {
  torch::Tensor scores;  ///< [B, K] f32 in [0, 1], higher is better; K = score_names().size()
  torch::Tensor implausibility;  ///< [B, H, W] f32 in [0, 1], higher is worse
  torch::Tensor misalignment;    ///< [B, H, W] f32 in [0, 1], higher is worse
  Words words;                   ///< One teacher-forced pass; differentiable in the pictures.
  torch::Tensor written;  ///< [B, W] bool, misaligned by greedy decoding, no gradient; false where
                          ///< there is no word. From the same pass over picture and prompt.
};

/// Refuses a judgement that does not keep its promise: one place for whoever takes a judgement in.
/// Looks at the values once, with one wait for the device.
/// @param where        who asks, the first word of the error
/// @param pictures     what to call the B pictures
/// @param score_names  Reward::score_names()
/// @throws ShapeError if a part has another B, K or W than it must.
/// @throws NonFiniteError naming output and picture of the first value that is NaN or infinite.
void check_judgement(std::string_view where, const Judgement& judgement,
                     const std::vector<std::string>& pictures,
                     const std::vector<std::string>& score_names);

}  // namespace rahf
