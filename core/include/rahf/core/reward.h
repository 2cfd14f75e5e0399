#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rahf/core/judgement.h"
#include "rahf/core/prompt.h"

namespace rahf {

/// Which parts of a Judgement are wanted; what is not asked for is not computed.
struct Ask {
  bool scores = true;
  bool maps = true;
  bool words = true;
};

/// Something that judges pictures: RAHF, a baseline, or a user's own.
///
/// judge() keeps the gradient from its results to `images` unless differentiable() says no;
/// call it under NoGradGuard or InferenceMode where no gradient is wanted. Judging changes no
/// state, and draws nothing at random.
class Reward {
 public:
  virtual ~Reward() = default;

  /// @param images   [B, 3, H, W] f32  RGB in [0, 1]
  /// @param prompts  B of them
  /// @throws ShapeError if the sizes disagree.
  virtual Judgement judge(const torch::Tensor& images, const Prompts& prompts,
                          const Ask& ask = {}) = 0;

  /// Height and width that pictures are best given at; 0 if any size will do. judge() takes other
  /// sizes too and resizes them on tensors, with a gradient; io::resize() of the 8-bit picture is
  /// what reference preprocessing does.
  virtual std::int64_t input_size() const { return 0; }

  /// Names of the K columns of Judgement::scores.
  virtual std::vector<std::string> score_names() const = 0;
  virtual bool differentiable() const = 0;
};

}  // namespace rahf
