#include "rahf/core/train/adamw.h"

#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/options.h"

namespace rahf::train {
namespace {

// The fused kernels walk a parameter and its gradient side by side in memory, whatever their
// strides; convolutions of channels-last pictures give channels-last gradients.
torch::Tensor laid_out_as(const torch::Tensor& value, const torch::Tensor& gradient) {
  if (gradient.strides() == value.strides()) return gradient;
  return at::empty_like(value).copy_(gradient);
}

}  // namespace

void AdamW::Options::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("AdamW.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("beta1", beta1, beta1 >= 0 && beta1 < 1, "in [0, 1)");
  check("beta2", beta2, beta2 >= 0 && beta2 < 1, "in [0, 1)");
  check("epsilon", epsilon, epsilon > 0, "> 0");
  check("weight_decay", weight_decay, weight_decay >= 0, ">= 0");
}

AdamW::AdamW(std::vector<OptimisedParameter> parameters, Options options)
    : parameters_(std::move(parameters)), options_(options) {
  options_.validate();
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const auto& parameter = parameters_[i];
    values_.push_back(parameter.value);
    means_.push_back(torch::zeros_like(parameter.value));
    squares_.push_back(torch::zeros_like(parameter.value));
    steps_.push_back(torch::zeros({}, parameter.value.options().dtype(torch::kFloat)));
    const double decay = parameter.weight_decay ? options_.weight_decay : 0;
    auto group = std::find_if(groups_.begin(), groups_.end(), [&](const Group& candidate) {
      return candidate.lr_scale == parameter.lr_scale && candidate.weight_decay == decay;
    });
    if (group == groups_.end()) {
      groups_.push_back({parameter.lr_scale, decay, {}});
      group = groups_.end() - 1;
    }
    group->members.push_back(i);
  }
}

void AdamW::step(const std::vector<torch::Tensor>& gradients, double learning_rate,
                 const torch::Tensor& found_inf) {
  TORCH_INTERNAL_ASSERT(gradients.size() == values_.size());
  const torch::NoGradGuard no_grad;
  for (const auto& group : groups_) {
    const auto pick = [&group](const std::vector<torch::Tensor>& all) {
      std::vector<torch::Tensor> some;
      for (const auto i : group.members) some.push_back(all[i]);
      return some;
    };
    const auto steps = pick(steps_);
    auto laid_out = pick(gradients);
    for (std::size_t k = 0; k < laid_out.size(); ++k) {
      laid_out[k] = laid_out_as(values_[group.members[k]], laid_out[k]);
    }
    for (const auto& step : steps) step.add_(1);
    std::optional<torch::Tensor> skip;
    if (found_inf.defined()) skip = found_inf;
    at::_fused_adamw_(pick(values_), laid_out, pick(means_), pick(squares_), {}, steps,
                      learning_rate * group.lr_scale, options_.beta1, options_.beta2,
                      group.weight_decay, options_.epsilon, /*amsgrad=*/false, /*maximize=*/false,
                      /*grad_scale=*/{}, skip);
    if (skip) {
      for (const auto& step : steps) step.sub_(*skip);
    }
  }
}

io::TensorMap AdamW::state() const {
  io::TensorMap state;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    state["exp_avg/" + parameters_[i].name] = means_[i];
    state["exp_avg_sq/" + parameters_[i].name] = squares_[i];
    state["step/" + parameters_[i].name] = steps_[i];
  }
  return state;
}

void AdamW::load_state(const io::TensorMap& state) {
  const torch::NoGradGuard no_grad;
  for (const auto& [name, own] : this->state()) {
    const auto found = state.find(name);
    if (found == state.end() || found->second.sizes() != own.sizes()) {
      throw CheckpointError("AdamW::load_state: " + name + " is missing or of another shape");
    }
    auto target = own;
    target.copy_(found->second);
  }
}

}  // namespace rahf::train
