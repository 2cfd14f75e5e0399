#pragma once

#include <torch/types.h>

#include <utility>

#include "rahf/core/generator.h"
#include "rahf/generators/schedulers/scheduler_options.h"

namespace rahf::generators {

/// The process that training takes clean latents through: level l is training step
/// max(1, round(l N)) of N, or of a flow sigma = l. Thread-safe: nothing changes after
/// construction.
class ForwardProcess {
 public:
  explicit ForwardProcess(SchedulerOptions options);

  /// What the network is told. @param level  [B] f32 in [0, 1]  @return [B] f32 in [0, N]
  torch::Tensor timesteps(const torch::Tensor& level) const;
  /// @param clean  [B, C, h, w]  @param noise  [B, C, h, w] standard normal
  /// @param level  [B] f32 in [0, 1]
  Corrupted corrupt(const torch::Tensor& clean, const torch::Tensor& noise,
                    const torch::Tensor& level) const;
  /// The clean latents that a prediction amounts to; inverts what corrupt() says of its target.
  torch::Tensor clean(const torch::Tensor& prediction, const Corrupted& corrupted) const;

 private:
  /// sqrt(a) and sqrt(1 - a) at levels [B], as [B, 1, 1, 1].
  std::pair<torch::Tensor, torch::Tensor> signal_and_scale(const torch::Tensor& level) const;

  SchedulerOptions options_;
  torch::Tensor alphas_;  ///< [N] f32
};

}  // namespace rahf::generators
