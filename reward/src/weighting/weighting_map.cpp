#include "rahf/reward/weighting/weighting_map.h"

#include <string>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::weighting {

void WeightingMapOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("WeightingMapOptions.") + name + " = " +
                      option_text::write(value) + ", must be " + range);
  };
  check("strength", strength, strength >= 0 && strength <= 1, "in [0, 1]");
  check("threshold", threshold, threshold >= 0 && threshold < 1, "in [0, 1)");
  check("floor", floor, floor > 0, "> 0");
}

torch::Tensor heat(const Judgement& judgement, MapSource source) {
  const auto need = [](const torch::Tensor& map, const char* name) {
    if (!map.defined()) {
      throw ConfigError(std::string("heat: the reward gives no heatmap of ") + name);
    }
    return map;
  };
  const auto first = [&] { return need(judgement.implausibility, "implausibility"); };
  const auto second = [&] { return need(judgement.misalignment, "misalignment"); };
  switch (source) {
    case MapSource::kImplausibility:
      return first();
    case MapSource::kMisalignment:
      return second();
    case MapSource::kMaximum:
      return torch::maximum(first(), second());
    case MapSource::kMean:
      return (first() + second()) / 2;
  }
  TORCH_INTERNAL_ASSERT(false);
}

torch::Tensor weighting_map(const torch::Tensor& heat, const torch::Tensor& sign, const Grid& grid,
                            const WeightingMapOptions& options) {
  options.validate();
  Shapes shapes("weighting_map");
  shapes.check("heat", heat, {"B", "H", "W"});
  shapes.check("sign", sign, {"B"});
  const torch::NoGradGuard no_grad;
  auto kept = heat.to(torch::kFloat);
  kept = torch::where(kept < options.threshold, torch::zeros_like(kept), kept);
  const auto pooled =
      torch::adaptive_avg_pool2d(kept.unsqueeze(1), {grid.height, grid.width}).squeeze(1);
  const auto avoid = (sign.to(pooled.device()) < 0).view({-1, 1, 1});
  const auto emphasis = torch::where(avoid, pooled, 1 - pooled).clamp_min(options.floor);
  const auto normalised = emphasis / emphasis.mean({1, 2}, /*keepdim=*/true);  // [B, h, w]
  return 1 - options.strength + options.strength * normalised;
}

torch::Tensor heatmap_energy(const torch::Tensor& heat) {
  Shapes("heatmap_energy").check("heat", heat, {"B", "H", "W"});
  return heat.mean({1, 2});
}

}  // namespace rahf::weighting
