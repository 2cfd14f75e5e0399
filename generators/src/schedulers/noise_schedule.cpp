#include "rahf/generators/schedulers/noise_schedule.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/cumprod.h>
#include <ATen/ops/linspace.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "rahf/core/error.h"

namespace rahf::generators {
namespace {

torch::Tensor squared_cosine_betas(std::int64_t steps) {
  const auto left = [&](std::int64_t i) {
    const double t = static_cast<double>(i) / static_cast<double>(steps);
    const double root = std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2);
    return root * root;
  };
  std::vector<float> betas;
  for (std::int64_t i = 0; i < steps; ++i) {
    betas.push_back(static_cast<float>(std::min(1 - left(i + 1) / left(i), 0.999)));
  }
  return torch::tensor(betas);
}

torch::Tensor rescaled_to_zero_terminal_snr(const torch::Tensor& betas) {
  auto root = at::cumprod(1 - betas, 0).sqrt();
  const auto first = root[0].clone(), last = root[-1].clone();
  root = (root - last) * (first / (first - last));
  const auto share = root * root;
  const auto steps = share.size(0);
  return 1 - at::cat({share.narrow(0, 0, 1),
                      share.narrow(0, 1, steps - 1) / share.narrow(0, 0, steps - 1)});
}

}  // namespace

void NoiseScheduleOptions::validate(const std::string& where) const {
  const auto require = [&](bool holds, const char* what, const std::string& got) {
    if (!holds) throw ConfigError(where + ": " + what + ", got " + got);
  };
  require(train_steps > 1, "train_steps must be > 1", std::to_string(train_steps));
  require(beta_start > 0 && beta_start < 1, "beta_start must be in (0, 1)",
          std::to_string(beta_start));
  require(beta_end > 0 && beta_end < 1, "beta_end must be in (0, 1)", std::to_string(beta_end));
}

torch::Tensor alphas_cumprod(const NoiseScheduleOptions& options) {
  options.validate("alphas_cumprod");
  torch::Tensor betas;  // In f32, as the references compute it: small betas differ otherwise.
  switch (options.betas) {
    case BetaSchedule::kLinear:
      betas = at::linspace(options.beta_start, options.beta_end, options.train_steps, at::kFloat);
      break;
    case BetaSchedule::kScaledLinear:
      betas = at::linspace(std::sqrt(options.beta_start), std::sqrt(options.beta_end),
                           options.train_steps, at::kFloat)
                  .square();
      break;
    case BetaSchedule::kSquaredCosine:
      betas = squared_cosine_betas(options.train_steps);
      break;
  }
  if (options.zero_terminal_snr) betas = rescaled_to_zero_terminal_snr(betas);
  return at::cumprod(1 - betas, 0);
}

}  // namespace rahf::generators
