#pragma once

#include <cstdint>
#include <vector>

#include "rahf/generators/schedulers/step_plan.h"

namespace rahf::generators {

/// A plan without its tensors.
struct Planned {
  StepPlan plan;
  std::vector<double> timesteps;
};

// One function per family of samplers.

Planned plan_ddim(const SchedulerOptions& options, std::int64_t num_steps, double eta);
Planned plan_ddpm(const SchedulerOptions& options, std::int64_t num_steps);
Planned plan_euler(const SchedulerOptions& options, std::int64_t num_steps);
Planned plan_dpm_solver(const SchedulerOptions& options, std::int64_t num_steps);
Planned plan_flow(const SchedulerOptions& options, std::int64_t num_steps, double noise_scale);

/// alphas_cumprod() as numbers.
std::vector<float> alphas(const NoiseScheduleOptions& options);

/// Training steps at which a sampler stops, from the noisiest.
/// @param points  What leading and linspace spacing divide the process into, >= num_steps; the
/// least
///                noisy ones beyond num_steps are left out.
/// @param whole   Round those of linspace spacing.
std::vector<double> spaced_timesteps(const SchedulerOptions& options, std::int64_t num_steps,
                                     std::int64_t points, bool whole);

/// How to tell the clean latents from a state whose variance is the picture's to a share `alpha`.
void set_clean(StepCoefficients& step, Prediction prediction, double alpha);
/// mean += weight * (the noise that the prediction implies)
void add_noise_estimate(StepCoefficients& step, Prediction prediction, double alpha, double weight);

}  // namespace rahf::generators
