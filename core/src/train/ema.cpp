#include "rahf/core/train/ema.h"

#include <ATen/ops/_foreach_lerp.h>

#include <algorithm>
#include <utility>

namespace rahf::train {

Ema::Ema(std::vector<torch::Tensor> parameters, double decay)
    : parameters_(std::move(parameters)), decay_(decay) {
  for (const auto& parameter : parameters_) averages_.push_back(parameter.detach().clone());
}

void Ema::update(std::int64_t updates) {
  const torch::NoGradGuard no_grad;
  const auto count = static_cast<double>(updates);
  const double decay = std::min(decay_, (1 + count) / (10 + count));
  at::_foreach_lerp_(averages_, parameters_, 1 - decay);
}

void Ema::swap() {
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const auto value = parameters_[i].detach().clone();
    parameters_[i].copy_(averages_[i]);
    averages_[i].copy_(value);
  }
}

}  // namespace rahf::train
