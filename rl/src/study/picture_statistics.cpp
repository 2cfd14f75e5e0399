#include "rahf/rl/study/picture_statistics.h"

#include <ATen/core/grad_mode.h>

#include <cmath>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::rl {

std::vector<std::pair<std::string_view, double>> PictureStatistics::values() const {
  return {{"dark_share", dark_share},
          {"edge_density", edge_density},
          {"colour_entropy", colour_entropy},
          {"saturation", saturation},
          {"diversity", diversity}};
}

PictureStatistics picture_statistics(const torch::Tensor& images) {
  Shapes("picture_statistics").check("images", images, {"B", 3, "H", "W"});
  if (images.size(0) == 0) throw ShapeError("picture_statistics: images must not be empty");
  const torch::NoGradGuard no_grad;
  const auto x = images.to(torch::kFloat).clamp(0, 1);
  const auto luma = 0.299 * x.select(1, 0) + 0.587 * x.select(1, 1) + 0.114 * x.select(1, 2);
  const auto mean = [](const torch::Tensor& values) {
    return values.numel() > 0 ? values.to(torch::kDouble).mean().item<double>() : 0.0;
  };

  PictureStatistics result;
  result.dark_share = mean(luma < 0.2);
  result.edge_density = (mean(luma.diff(1, 1).abs()) + mean(luma.diff(1, 2).abs())) / 2;
  const auto highest = x.amax(1);
  result.saturation = mean((highest - x.amin(1)) / highest.clamp_min(1e-6));
  result.diversity = std::sqrt(mean((x - x.mean(0, /*keepdim=*/true)).square()));

  const auto level = (x * 8).floor().clamp_max(7).to(torch::kLong);  // [B, 3, H, W]
  const auto colour = (level.select(1, 0) * 64 + level.select(1, 1) * 8 + level.select(1, 2))
                          .flatten(1);  // [B, H * W] in [0, 512)
  auto counts = torch::zeros({x.size(0), 512}, x.options());
  counts.scatter_add_(1, colour, torch::ones(colour.sizes(), x.options()));
  const auto share = counts / colour.size(1);
  result.colour_entropy = mean(-(share * share.clamp_min(1e-12).log2()).sum(1));
  return result;
}

}  // namespace rahf::rl
