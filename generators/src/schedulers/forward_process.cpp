#include "rahf/generators/schedulers/forward_process.h"

#include <utility>

#include "rahf/core/shapes.h"

namespace rahf::generators {

ForwardProcess::ForwardProcess(SchedulerOptions options) : options_(std::move(options)) {
  options_.validate("ForwardProcess");
  alphas_ = alphas_cumprod(options_.noise);
}

torch::Tensor ForwardProcess::timesteps(const torch::Tensor& level) const {
  const auto count = static_cast<double>(options_.noise.train_steps);
  const auto scaled = level.to(torch::kFloat) * count;
  if (options_.prediction == Prediction::kFlow) return scaled;
  return (scaled.round() - 1).clamp(0, count - 1);
}

Corrupted ForwardProcess::corrupt(const torch::Tensor& clean, const torch::Tensor& noise,
                                  const torch::Tensor& level) const {
  Shapes shapes("ForwardProcess::corrupt");
  shapes.check("clean", clean, {"B", "C", "h", "w"});
  shapes.check("noise", noise, {"B", "C", "h", "w"});
  shapes.check("level", level, {"B"});
  Corrupted corrupted{.clean = clean, .level = level.to(clean.device(), torch::kFloat)};
  if (options_.prediction == Prediction::kFlow) {
    const auto sigma = corrupted.level.view({-1, 1, 1, 1});
    corrupted.state = (1 - sigma) * clean + sigma * noise;
    corrupted.target = noise - clean;
    return corrupted;
  }
  const auto [signal, scale] = signal_and_scale(corrupted.level);
  corrupted.state = signal * clean + scale * noise;
  switch (options_.prediction) {
    case Prediction::kNoise:
      corrupted.target = noise;
      break;
    case Prediction::kClean:
      corrupted.target = clean;
      break;
    default:
      corrupted.target = signal * noise - scale * clean;
      break;
  }
  return corrupted;
}

torch::Tensor ForwardProcess::clean(const torch::Tensor& prediction,
                                    const Corrupted& corrupted) const {
  if (options_.prediction == Prediction::kFlow) {
    return corrupted.state - corrupted.level.view({-1, 1, 1, 1}) * prediction;
  }
  const auto [signal, scale] = signal_and_scale(corrupted.level);
  switch (options_.prediction) {
    case Prediction::kNoise:
      return (corrupted.state - scale * prediction) / signal;
    case Prediction::kClean:
      return prediction;
    default:
      return signal * corrupted.state - scale * prediction;
  }
}

std::pair<torch::Tensor, torch::Tensor> ForwardProcess::signal_and_scale(
    const torch::Tensor& level) const {
  const auto alpha = alphas_.to(level.device())
                         .index_select(0, timesteps(level).to(torch::kLong))
                         .view({-1, 1, 1, 1});
  return {alpha.sqrt(), (1 - alpha).sqrt()};
}

}  // namespace rahf::generators
