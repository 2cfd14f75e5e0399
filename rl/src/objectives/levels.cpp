#include "rahf/rl/objectives/levels.h"

#include <torch/types.h>

#include <cmath>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::rl {

void LevelOptions::validate() const {
  if (!(std > 0)) {
    throw ConfigError("LevelOptions.std = " + option_text::write(std) + ", must be > 0");
  }
}

torch::Tensor noise_levels(const LevelOptions& options, std::int64_t count, const Draws& draws,
                           torch::Device device) {
  const auto levels = [&] {
    switch (options.kind) {
      case LevelKind::kUniform:
        return draws.uniform("level", 0, {count});
      case LevelKind::kLogitNormal:
        return torch::sigmoid(options.mean + options.std * draws.normal("level", 0, {count}));
      case LevelKind::kCosine:
        return torch::cos(draws.uniform("level", 0, {count}) * (M_PI / 2));
    }
    TORCH_INTERNAL_ASSERT(false);
  }();
  return levels.clamp(1e-4, 1 - 1e-4).to(device);
}

torch::Tensor error_per_picture(const torch::Tensor& error, const Corrupted& corrupted,
                                const torch::Tensor& weights) {
  Shapes shapes("error_per_picture");
  shapes.check("error", error, {"B", "h", "w"});
  auto weighted = error;
  if (weights.defined()) {
    shapes.check("weights", weights, {"B", "h", "w"});
    weighted = error * weights;
  }
  if (corrupted.state.is_floating_point()) return weighted.mean({1, 2});
  const auto masked = (corrupted.state != corrupted.clean).to(torch::kFloat).sum({1, 2});
  return weighted.sum({1, 2}) / masked.clamp_min(1);
}

Corrupted rows_of(const Corrupted& corrupted, const torch::Tensor& rows) {
  const auto take = [&](const torch::Tensor& tensor) {
    return tensor.defined() ? tensor.index_select(0, rows.to(tensor.device())) : tensor;
  };
  return {.clean = take(corrupted.clean),
          .state = take(corrupted.state),
          .level = take(corrupted.level),
          .target = take(corrupted.target)};
}

}  // namespace rahf::rl
