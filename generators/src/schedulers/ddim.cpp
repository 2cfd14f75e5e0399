#include <algorithm>
#include <cmath>
#include <string>

#include "plans.h"
#include "rahf/core/error.h"

namespace rahf::generators {

// In the notation of Song et al.: with a the share of the variance that is the picture's,
//     std  = eta sqrt((1 - a') / (1 - a) (1 - a / a'))
//     mean = sqrt(a') clean + sqrt(1 - a' - std^2) noise
// The variance is computed in f32 as the references do: at the last step it is a small difference,
// and log-probabilities show it.
Planned plan_ddim(const SchedulerOptions& options, std::int64_t num_steps, double eta) {
  if (eta > 1) {
    throw ConfigError("plan_steps: stochasticity of DDIM must be in [0, 1], got " +
                      std::to_string(eta));
  }
  const auto alpha = alphas(options.noise);
  const auto count = options.noise.train_steps;
  Planned planned{.timesteps = spaced_timesteps(options, num_steps, num_steps, true)};
  auto& plan = planned.plan;
  plan.clean_range = options.clean_range;
  for (const auto timestep : planned.timesteps) {
    const auto t = static_cast<std::int64_t>(timestep);
    const auto next = t - count / num_steps;
    const float a = alpha[t];
    const float a_next = next >= 0 || eta > 0      ? alpha[std::max<std::int64_t>(next, 0)]
                         : options.final_alpha_one ? 1.F
                                                   : alpha[0];
    const float variance = (1 - a_next) / (1 - a) * (1 - a / a_next);
    StepCoefficients step;
    step.std = step.kl_std = eta * std::sqrt(variance);
    set_clean(step, options.prediction, a);
    step.mean_clean = std::sqrt(a_next);
    add_noise_estimate(step, options.prediction, a,
                       std::sqrt(std::max(0.0, 1.0 - a_next - step.std * step.std)));
    plan.steps.push_back(step);
    plan.signal.push_back(std::sqrt(a));
    plan.noise.push_back(std::sqrt(1 - a));
    plan.level.push_back((timestep + 1) / static_cast<double>(count));
  }
  return planned;
}

// Ho et al., equation 7, with the smaller of the two variances.
Planned plan_ddpm(const SchedulerOptions& options, std::int64_t num_steps) {
  const auto alpha = alphas(options.noise);
  Planned planned{.timesteps = spaced_timesteps(options, num_steps, num_steps, true)};
  auto& plan = planned.plan;
  plan.clean_range = options.clean_range;
  for (std::int64_t i = 0; i < num_steps; ++i) {
    const auto t = static_cast<std::int64_t>(planned.timesteps[i]);
    const bool last = i == num_steps - 1;
    const float a = alpha[t];
    const float a_next = last ? 1.F : alpha[static_cast<std::int64_t>(planned.timesteps[i + 1])];
    const float kept = a / a_next, beta = 1 - kept;
    StepCoefficients step;
    step.std = step.kl_std = std::sqrt((1 - a_next) / (1 - a) * beta);
    set_clean(step, options.prediction, a);
    step.mean_clean = std::sqrt(a_next) * beta / (1 - a);
    step.mean_state = std::sqrt(kept) * (1 - a_next) / (1 - a);
    plan.steps.push_back(step);
    plan.signal.push_back(std::sqrt(a));
    plan.noise.push_back(std::sqrt(1 - a));
    plan.level.push_back((planned.timesteps[i] + 1) /
                         static_cast<double>(options.noise.train_steps));
  }
  return planned;
}

}  // namespace rahf::generators
