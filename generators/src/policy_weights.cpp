#include "rahf/generators/policy_weights.h"

#include <ATen/core/grad_mode.h>

#include <string>

#include "rahf/core/error.h"

namespace rahf::generators {

PolicyWeights::PolicyWeights(std::vector<OptimisedParameter> trainable)
    : trainable_(std::move(trainable)) {
  for (const auto& one : trainable_) reference_.push_back(one.value.detach().clone());
}

PolicyWeights::Scope PolicyWeights::use(Policy policy) {
  if (policy == Policy::kTrained) return Scope(nullptr);
  const auto& values = policy == Policy::kReference || old_.empty() ? reference_ : old_;
  std::vector<torch::Tensor> trained;
  for (std::size_t i = 0; i < trainable_.size(); ++i) {
    auto parameter = trainable_[i].value;
    trained.push_back(parameter.detach());
    parameter.set_data(values[i]);
  }
  return Scope([this, trained = std::move(trained)] {
    for (std::size_t i = 0; i < trainable_.size(); ++i) trainable_[i].value.set_data(trained[i]);
  });
}

void PolicyWeights::update_old(double decay) {
  if (!(decay >= 0 && decay <= 1)) {
    throw ConfigError("PolicyWeights::update_old: decay must be in [0, 1], got " +
                      std::to_string(decay));
  }
  const torch::NoGradGuard no_grad;
  if (old_.empty()) {
    for (const auto& one : reference_) old_.push_back(one.clone());
  }
  for (std::size_t i = 0; i < trainable_.size(); ++i) {
    old_[i].mul_(decay).add_(trainable_[i].value, 1 - decay);
  }
}

}  // namespace rahf::generators
