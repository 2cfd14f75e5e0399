#include "rahf/core/train/optimisation.h"

#include <torch/autograd.h>

#include <cmath>
#include <set>
#include <sstream>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/train/clipping.h"

namespace rahf::train {
namespace {

// No error lists more names than a reader takes in.
constexpr int kNamesShown = 3;

}  // namespace

void OptimisationOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("OptimisationOptions.") + name + " = " +
                      option_text::write(value) + ", must be " + range);
  };
  check("clip_norm", clip_norm, clip_norm >= 0, ">= 0");
  check("ema", ema, ema >= 0 && ema < 1, "in [0, 1)");
  schedule.validate();
  adamw.validate();
}

Optimisation::Optimisation(std::vector<OptimisedParameter> parameters, OptimisationOptions options,
                           std::int64_t steps)
    : options_(std::move(options)),
      total_steps_(steps),
      adamw_(std::move(parameters), options_.adamw) {
  options_.validate();
  if (steps <= 0) {
    throw ConfigError("Optimisation: steps must be > 0, got " + std::to_string(steps));
  }
  std::set<std::string> names;
  for (const auto& parameter : adamw_.parameters()) {
    if (names.insert(parameter.name).second) continue;
    throw ConfigError("Optimisation: names of parameters must differ, got two of " +
                      parameter.name);
  }
  if (options_.ema > 0) ema_.emplace(adamw_.values(), options_.ema);

  clip_groups_.resize(options_.clip_apart.size() + 1);
  for (std::size_t i = 0; i < adamw_.parameters().size(); ++i) {
    std::size_t group = 0;
    while (group < options_.clip_apart.size() &&
           !adamw_.parameters()[i].name.starts_with(options_.clip_apart[group])) {
      ++group;
    }
    clip_groups_[group].push_back(i);
  }
  for (std::size_t group = 0; group < options_.clip_apart.size(); ++group) {
    if (!clip_groups_[group].empty()) continue;
    throw ConfigError("Optimisation: clip_apart = " + options_.clip_apart[group] +
                      " must begin the name of a parameter, but begins none");
  }
}

std::vector<torch::Tensor> Optimisation::gradients(const torch::Tensor& loss) const {
  const auto& values = adamw_.values();
  auto gradients = torch::autograd::grad({loss}, values, {}, {}, false, /*allow_unused=*/true);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) gradients[i] = torch::zeros_like(values[i]);
  }
  return gradients;
}

void Optimisation::accumulate(std::vector<torch::Tensor> gradients) {
  TORCH_INTERNAL_ASSERT(gradients.size() == adamw_.values().size());
  if (gradients_.empty()) {
    gradients_ = std::move(gradients);
    return;
  }
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < gradients_.size(); ++i) gradients_[i].add_(gradients[i]);
}

NamedValues Optimisation::clip() {
  NamedValues norms;
  torch::Tensor squares;
  for (std::size_t group = 0; group < clip_groups_.size(); ++group) {
    std::vector<torch::Tensor> members;
    for (const auto i : clip_groups_[group]) members.push_back(gradients_[i]);
    if (members.empty()) continue;
    const auto norm = clip_gradients(members, options_.clip_norm);
    squares = squares.defined() ? squares + norm.square() : norm.square();
    if (group < options_.clip_apart.size()) {
      norms.emplace_back("gradient_norm/" + options_.clip_apart[group], norm);
    }
  }
  norms.insert(norms.begin(), {"gradient_norm", squares.sqrt()});
  return norms;
}

NamedValues Optimisation::step(const NamedValues& values) {
  if (gradients_.empty())
    throw Error("Optimisation::step: needs a gradient, got none since the last");
  const torch::NoGradGuard no_grad;
  // Clipping turns an infinite gradient into NaN: the weights are what must not change.
  auto norms = clip();
  auto fine = torch::isfinite(norms.front().second);
  for (const auto& [name, value] : values) {
    fine = fine & torch::isfinite(value.detach()).to(fine.device());
  }
  const auto bad = torch::logical_not(fine);
  if (bad.is_cpu() && bad.item<bool>()) {
    require_finite(bad, norms, values);
  }
  left_out_ = left_out_.defined() ? left_out_ + bad : bad.to(torch::kLong);
  adamw_.step(gradients_, learning_rate(), bad.to(torch::kFloat));
  if (ema_) ema_->update(steps_);
  ++steps_;
  gradients_.clear();
  return norms;
}

void Optimisation::require_finite(const torch::Tensor& bad, const NamedValues& norms,
                                  const NamedValues& values) const {
  if (!bad.item<bool>()) return;
  std::ostringstream message;
  message << "step " << steps_ + 1 << " is not finite:";
  for (const auto& [name, value] : values) {
    const double number = value.item<double>();
    if (!std::isfinite(number)) message << ' ' << name << ' ' << number << ',';
  }
  message << ' ' << norms.front().first << ' ' << norms.front().second.item<double>();
  int shown = 0;
  for (std::size_t i = 0; i < gradients_.size() && shown < kNamesShown; ++i) {
    if (torch::isfinite(gradients_[i]).all().item<bool>()) continue;
    message << (shown++ == 0 ? "; gradients of " : ", ") << adamw_.parameters()[i].name;
  }
  message << ". The weights are those before it; a lower learning rate or clip_norm may help";
  throw NonFiniteError(message.str());
}

void Optimisation::check_finite() {
  if (!left_out_.defined()) return;
  const auto count = left_out_.item<std::int64_t>();
  left_out_.zero_();
  if (count == 0) return;
  throw NonFiniteError(std::to_string(count) + " of the steps up to " + std::to_string(steps_) +
                       " had a value or gradient that is not finite, and were left out");
}

double Optimisation::learning_rate() const { return options_.schedule.at(steps_, total_steps_); }

void Optimisation::swap_average() {
  if (ema_) ema_->swap();
}

io::TensorMap Optimisation::state() const {
  auto tensors = adamw_.state();
  for (std::size_t i = 0; i < parameters().size(); ++i) {
    tensors["value/" + parameters()[i].name] = adamw_.values()[i].detach();
    if (ema_) tensors["ema/" + parameters()[i].name] = ema_->averages()[i];
  }
  tensors["steps"] = torch::tensor({steps_}, torch::kLong);
  return tensors;
}

void Optimisation::load_state(const io::TensorMap& state) {
  const torch::NoGradGuard no_grad;
  for (auto& [name, own] : this->state()) {
    const auto found = state.find(name);
    if (found == state.end() || found->second.sizes() != own.sizes()) {
      throw CheckpointError("Optimisation::load_state: " + name +
                            " is missing or of another shape");
    }
    auto target = own;
    target.copy_(found->second);
    if (name == "steps") steps_ = found->second.item<std::int64_t>();
  }
}

}  // namespace rahf::train
