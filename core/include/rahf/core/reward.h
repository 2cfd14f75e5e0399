#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/judgement.h"
#include "rahf/core/prompt.h"

namespace rahf {

/// Which parts of a Judgement are wanted; what is not asked for is not computed.
struct Ask {
  bool scores = true;
  bool maps = true;
  bool words = true;
  bool written = false;  ///< Greedy decoding: a pass of the decoder per token.
};

/// Something that judges pictures: RAHF, a baseline, or a user's own.
///
/// Pictures are f32 RGB in [0, 1] (to_tensor() of a decoded picture), on device(); anything else is
/// an error. judge() keeps the gradient from its results to `images` unless differentiable() says
/// no; call it under NoGradGuard or InferenceMode where no gradient is wanted. Judging changes no
/// state and draws nothing at random, so that several threads may judge with one reward.
class Reward {
 public:
  virtual ~Reward() = default;

  /// @param images   [B, 3, H, W] f32  RGB in [0, 1], on device()
  /// @param prompts  B of them
  /// @throws ShapeError if sizes, element type or device are not those; see check_pictures().
  virtual Judgement judge(const torch::Tensor& images, const Prompts& prompts,
                          const Ask& ask = {}) = 0;

  /// Where pictures must be, and results are.
  virtual torch::Device device() const = 0;

  /// Height and width that pictures are best given at; 0 if any size will do. judge() takes other
  /// sizes too and resizes them on tensors, with a gradient; io::resize() of the 8-bit picture is
  /// what reference preprocessing does.
  virtual std::int64_t input_size() const { return 0; }

  /// Names of the K columns of Judgement::scores.
  virtual std::vector<std::string> score_names() const = 0;
  virtual bool differentiable() const = 0;
};

/// What every judge() asks of its arguments, and whatever else takes pictures with prompts.
/// @param where   the first words of the error, for example "RahfReward::judge"
/// @throws ShapeError unless images are [B, 3, H, W] with H, W > 0, f32 (or `dtype`), on `device`,
///         and prompts are B.
void check_pictures(std::string_view where, const torch::Tensor& images, const Prompts& prompts,
                    torch::Device device, torch::Dtype dtype = torch::kFloat);

}  // namespace rahf
