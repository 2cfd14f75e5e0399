#include <cmath>

#include "plans.h"

namespace rahf::generators {
namespace {

/// Noise over signal, sqrt((1 - a) / a), at timesteps that may lie between two training steps.
std::vector<double> sigmas_at(const std::vector<double>& timesteps,
                              const NoiseScheduleOptions& options) {
  auto alpha = alphas(options);
  if (options.zero_terminal_snr) alpha.back() = std::ldexp(1.F, -24);  // a finite sigma
  std::vector<double> sigmas;
  for (const auto timestep : timesteps) {
    const auto below = static_cast<std::size_t>(timestep);
    const auto sigma = [&](std::size_t t) -> double {
      return std::sqrt((1 - alpha[t]) / alpha[t]);
    };
    const double part = timestep - static_cast<double>(below);
    sigmas.push_back(part == 0 ? sigma(below)
                               : sigma(below) + part * (sigma(below + 1) - sigma(below)));
  }
  sigmas.push_back(0);
  return sigmas;
}

/// What all samplers in sigma have in common.
StepCoefficients begin_step(Planned& planned, const SchedulerOptions& options, std::size_t i,
                            double sigma) {
  const double alpha = 1 / (1 + sigma * sigma);
  auto& plan = planned.plan;
  plan.signal.push_back(std::sqrt(alpha));
  plan.noise.push_back(sigma * std::sqrt(alpha));
  plan.level.push_back((planned.timesteps[i] + 1) / static_cast<double>(options.noise.train_steps));
  StepCoefficients step;
  set_clean(step, options.prediction, alpha);
  return step;
}

}  // namespace

// Karras et al., algorithm 1 of the deterministic kind, on y = sqrt(1 + sigma^2) x:
//     y' = y + (y - clean) / sigma (sigma' - sigma)
Planned plan_euler(const SchedulerOptions& options, std::int64_t num_steps) {
  Planned planned{.timesteps = spaced_timesteps(options, num_steps, num_steps, false)};
  const auto sigmas = sigmas_at(planned.timesteps, options.noise);
  for (std::size_t i = 0; i < planned.timesteps.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    auto step = begin_step(planned, options, i, sigma);
    const double scale = std::sqrt(1 + next * next);
    step.mean_state = std::sqrt(1 + sigma * sigma) * next / sigma / scale;
    step.mean_clean = (1 - next / sigma) / scale;
    planned.plan.steps.push_back(step);
  }
  if (options.spacing != Spacing::kLeading) planned.plan.start_std = planned.plan.noise[0];
  return planned;
}

// Lu et al., algorithm 2, with lambda = log(signal / noise), h = lambda' - lambda and
// r = (h of the step before) / h:
//     next = noise' / noise x + signal' (1 - e^-h) (clean + (clean - clean_before) / (2 r))
// The first step and the last, which ends without noise, are of order 1.
Planned plan_dpm_solver(const SchedulerOptions& options, std::int64_t num_steps) {
  Planned planned{.timesteps = spaced_timesteps(options, num_steps, num_steps + 1, true)};
  const auto sigmas = sigmas_at(planned.timesteps, options.noise);
  double h_before = 0;
  for (std::size_t i = 0; i < planned.timesteps.size(); ++i) {
    const double sigma = sigmas[i], next = sigmas[i + 1];
    auto step = begin_step(planned, options, i, sigma);
    if (next == 0) {
      step.mean_clean = 1;
    } else {
      const double signal = 1 / std::sqrt(1 + sigma * sigma);
      const double signal_next = 1 / std::sqrt(1 + next * next);
      const double h = std::log(sigma / next);
      const double gain = -signal_next * std::expm1(-h);
      const double change = i == 0 ? 0 : gain * h / (2 * h_before);
      step.mean_state = next * signal_next / (sigma * signal);
      step.mean_clean = gain + change;
      step.mean_before = -change;
      h_before = h;
    }
    planned.plan.steps.push_back(step);
  }
  return planned;
}

}  // namespace rahf::generators
