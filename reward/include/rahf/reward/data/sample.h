#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "rahf/core/image.h"

namespace rahf::reward {

/// One picture with its consolidated feedback: what the model learns from and is measured against.
struct Sample {
  std::string image;  ///< Name of the picture, as in the annotations.
  Image picture;      ///< Decoded.
  std::string prompt;
  std::array<float, 4> scores;   ///< In kScoreNames order, in [0, 1], higher is better.
  torch::Tensor implausibility;  ///< [H, W] u8, 255 x the share of annotators who marked the place
  torch::Tensor misalignment;    ///< [H, W] u8
  std::vector<std::uint8_t> misaligned_words;  ///< 1 where the majority marked the word; one per
                                               ///< word of split_words(prompt)
};

/// B samples as tensors, all resized to one size.
struct Batch {
  torch::Tensor images;              ///< [B, 3, H, W] f32  RGB in [0, 1]
  torch::Tensor scores;              ///< [B, 4] f32 in [0, 1], in kScoreNames order
  torch::Tensor implausibility;      ///< [B, H, W] f32 in [0, 1]
  torch::Tensor misalignment;        ///< [B, H, W] f32 in [0, 1]
  std::vector<std::string> prompts;  ///< B
  std::vector<std::vector<std::uint8_t>> misaligned_words;  ///< B, one flag per word
};

}  // namespace rahf::reward
