#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "rahf/generators/schedulers/scheduler_options.h"

namespace rahf::generators {

/// One step of a sampler. All of them are linear in the state x, the network's prediction p, the
/// clean estimate c (clamped where that is asked for), the one of the step before, c', and
/// standard normal noise z:
///
///     c    = clean_state x + clean_prediction p
///     mean = mean_state x + mean_prediction p + mean_clean c + mean_before c'
///     next = mean + std z
///
/// States are in the scale in which the forward process keeps the variance at 1 (or mixes linearly,
/// for a flow), for every sampler: also for Euler's, whose papers let the variance grow.
struct StepCoefficients {
  double clean_state = 0, clean_prediction = 0;
  double mean_state = 0, mean_prediction = 0, mean_clean = 0, mean_before = 0;
  double std = 0;     ///< 0: the step is deterministic.
  double kl_std = 0;  ///< KL to another mean is (difference)^2 / (2 kl_std^2); std for diffusion,
                      ///< and std / sqrt(sigma - sigma') for a flow, as Flow-GRPO has it.
};

/// T steps of a sampler, from noise to picture.
struct StepPlan {
  std::vector<StepCoefficients> steps;  ///< T
  torch::Tensor timesteps;  ///< [T] f32 what the network is told, in training steps of [0, N]
  /// The forward process before step i, and after the last: state = signal[i] clean + noise[i] z.
  std::vector<double> signal, noise;  ///< T + 1
  std::vector<double> level;          ///< T + 1, share of noise left, in [0, 1]
  double start_std = 1;               ///< Of the first state.
  double clean_range = 0;             ///< Clean estimates are clamped to +- this, where > 0.
  torch::Tensor table;                ///< [T, 8] f32 on the CPU: `steps`, for take_step().

  std::int64_t size() const { return static_cast<std::int64_t>(steps.size()); }
  /// Whether no step draws noise: then nothing has a log-probability.
  bool deterministic() const;
};

/// @param num_steps      T, in [1, N]
/// @param stochasticity  eta of DDIM, a of a flow; see Sampler
/// @throws ConfigError if the sampler cannot do these, or the prediction says nothing about the
///         picture at a step (noise predicted from noise alone, at zero terminal SNR).
StepPlan plan_steps(const SchedulerOptions& options, std::int64_t num_steps, double stochasticity);

/// What a step makes of a prediction.
struct Step {
  torch::Tensor clean;   ///< [B, C, h, w] f32 clean estimate
  torch::Tensor mean;    ///< [B, C, h, w] f32
  torch::Tensor std;     ///< [B, 1, 1, 1] f32
  torch::Tensor kl_std;  ///< [B, 1, 1, 1] f32
};

/// Differentiable in state, prediction and clean_before; computed in f32.
/// @param steps         [B] i64 on the CPU in [0, T), each sample's own
/// @param state         [B, C, h, w]
/// @param prediction    [B, C, h, w]
/// @param clean_before  [B, C, h, w] the step before's `clean`; undefined at the first step, which
///                      lowers the order
Step take_step(const StepPlan& plan, const torch::Tensor& steps, const torch::Tensor& state,
               const torch::Tensor& prediction, const torch::Tensor& clean_before = {});

/// Gaussian log-density of `next` per location, mean over channels (so that its mean over locations
/// is DDPO's, Black et al. 2023, arXiv 2305.13301):
///
///     -(next - mean)^2 / (2 std^2) - log std - log sqrt(2 pi)
///
/// and 0 where std is 0. The gradient flows to step.mean alone.
/// @param next  [B, C, h, w]  @return [B, h, w] f32
torch::Tensor step_log_prob(const Step& step, const torch::Tensor& next);

/// (mean - reference mean)^2 / (2 kl_std^2) per location, mean over channels; 0 where kl_std is 0.
/// @return [B, h, w] f32
torch::Tensor step_kl(const Step& step, const torch::Tensor& reference_mean);

}  // namespace rahf::generators
