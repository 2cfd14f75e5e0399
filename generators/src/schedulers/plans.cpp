#include "plans.h"

#include <cmath>
#include <string>

#include "rahf/core/error.h"

namespace rahf::generators {

std::vector<float> alphas(const NoiseScheduleOptions& options) {
  const auto all = alphas_cumprod(options).contiguous();
  return {all.data_ptr<float>(), all.data_ptr<float>() + all.numel()};
}

std::vector<double> spaced_timesteps(const SchedulerOptions& options, std::int64_t num_steps,
                                     std::int64_t points, bool whole) {
  const auto count = options.noise.train_steps;
  std::vector<double> timesteps;
  for (std::int64_t i = 0; i < num_steps; ++i) {
    const auto from_end = static_cast<double>(points - 1 - i);
    double t = 0;
    switch (options.spacing) {
      case Spacing::kLeading:
        t = from_end * static_cast<double>(count / points) +
            static_cast<double>(options.steps_offset);
        break;
      case Spacing::kTrailing:
        t = std::nearbyint(static_cast<double>(count) -
                           static_cast<double>(i) *
                               (static_cast<double>(count) / static_cast<double>(num_steps))) -
            1;
        break;
      case Spacing::kLinspace:
        t = points == 1
                ? 0
                : from_end * (static_cast<double>(count - 1) / static_cast<double>(points - 1));
        if (whole) t = std::nearbyint(t);
        break;
    }
    if (t > static_cast<double>(count - 1)) {
      throw ConfigError("plan_steps: steps_offset must leave the steps within the " +
                        std::to_string(count) + " of training, got " +
                        std::to_string(options.steps_offset) + " with " +
                        std::to_string(num_steps) + " steps");
    }
    timesteps.push_back(t);
  }
  return timesteps;
}

void set_clean(StepCoefficients& step, Prediction prediction, double alpha) {
  const double signal = std::sqrt(alpha), noise = std::sqrt(1 - alpha);
  switch (prediction) {
    case Prediction::kNoise:
      if (alpha <= 0) {
        throw ConfigError(
            "plan_steps: a step at which nothing of the picture is left needs prediction "
            "v_prediction or sample, got epsilon");
      }
      step.clean_state = 1 / signal;
      step.clean_prediction = -noise / signal;
      return;
    case Prediction::kClean:
      step.clean_prediction = 1;
      return;
    case Prediction::kVelocity:
      step.clean_state = signal;
      step.clean_prediction = -noise;
      return;
    case Prediction::kFlow:
      break;
  }
  throw ConfigError("plan_steps: prediction flow goes with sampler flow");
}

void add_noise_estimate(StepCoefficients& step, Prediction prediction, double alpha,
                        double weight) {
  const double signal = std::sqrt(alpha), noise = std::sqrt(1 - alpha);
  switch (prediction) {
    case Prediction::kNoise:
      step.mean_prediction += weight;
      return;
    case Prediction::kClean:
      step.mean_state += weight / noise;
      step.mean_prediction -= weight * signal / noise;
      return;
    case Prediction::kVelocity:
      step.mean_state += weight * noise;
      step.mean_prediction += weight * signal;
      return;
    case Prediction::kFlow:
      break;
  }
  throw ConfigError("plan_steps: prediction flow goes with sampler flow");
}

}  // namespace rahf::generators
