#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "rahf/core/prompt.h"

namespace rahf::reward {

/// A reward that can also write out the prompt with its misaligned words marked, token by token:
/// the paper's way, which its keyword metric needs. Reward::judge() gives probabilities instead.
class WordDecoder {
 public:
  virtual ~WordDecoder() = default;

  /// Greedy decoding, without a gradient.
  /// @param images  [B, 3, H, W] f32  RGB in [0, 1]
  /// @return        per prompt, one flag per word of split_words(prompt): 1 is misaligned.
  ///                Words are compared by position; one that was not written counts as aligned.
  virtual std::vector<std::vector<std::uint8_t>> decode_words(const torch::Tensor& images,
                                                              const Prompts& prompts) = 0;
};

}  // namespace rahf::reward
