#include <algorithm>
#include <cmath>

#include "plans.h"

namespace rahf::generators {

// Liu et al. 2025, equation 9: the flow's marginals, walked by an SDE. With d = sigma' - sigma < 0,
//     g    = a sqrt(sigma / (1 - sigma)),   in the first step with the second sigma below the line
//     mean = x (1 + g^2 d / (2 sigma)) + v (1 + g^2 (1 - sigma) / (2 sigma)) d
//     std  = g sqrt(-d)
Planned plan_flow(const SchedulerOptions& options, std::int64_t num_steps, double noise_scale) {
  const auto count = static_cast<double>(options.noise.train_steps);
  const auto shifted = [&](double x) {
    return options.flow_shift * x / (1 + (options.flow_shift - 1) * x);
  };
  // The published schedule shifts its end twice.
  const double least = shifted(1 / count);
  std::vector<double> sigmas;
  for (std::int64_t i = 0; i < num_steps; ++i) {
    const double part =
        num_steps == 1 ? 0 : static_cast<double>(i) / static_cast<double>(num_steps - 1);
    sigmas.push_back(shifted(1 + part * (least - 1)));
  }
  sigmas.push_back(0);

  Planned planned;
  auto& plan = planned.plan;
  for (std::size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double sigma = sigmas[i], d = sigmas[i + 1] - sigma;
    const double g = noise_scale * std::sqrt(sigma / (1 - (sigma == 1 ? sigmas[1] : sigma)));
    const double drift = g * g / (2 * sigma);
    StepCoefficients step;
    step.clean_state = 1;
    step.clean_prediction = -sigma;
    step.mean_state = 1 + drift * d;
    step.mean_prediction = (1 + drift * (1 - sigma)) * d;
    step.std = g * std::sqrt(-d);
    step.kl_std = g;
    plan.steps.push_back(step);
    plan.signal.push_back(1 - sigma);
    plan.noise.push_back(sigma);
    plan.level.push_back(sigma);
    planned.timesteps.push_back(sigma * count);
  }
  return planned;
}

}  // namespace rahf::generators
