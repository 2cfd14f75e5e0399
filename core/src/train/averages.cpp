#include "rahf/core/train/averages.h"

namespace rahf::train {

Averages::Sum& Averages::sum(const std::string& name) {
  const auto [it, is_new] = sums_.try_emplace(name);
  if (is_new) order_.push_back(name);
  return it->second;
}

void Averages::add(const NamedValues& values) {
  const torch::NoGradGuard no_grad;
  for (const auto& [name, value] : values) {
    auto& own = sum(name);
    const auto more = value.detach().to(torch::kFloat);
    own.on_device = own.on_device.defined() ? own.on_device + more : more;
    ++own.count;
  }
}

void Averages::add(const std::string& name, double value) {
  auto& own = sum(name);
  own.on_host += value;
  ++own.count;
}

RunLog::Values Averages::take() {
  RunLog::Values means;
  for (const auto& name : order_) {
    const auto& own = sums_.at(name);
    const double total = own.on_host + (own.on_device.defined() ? own.on_device.item<double>() : 0);
    means.emplace_back(name, total / static_cast<double>(own.count));
  }
  sums_.clear();
  order_.clear();
  return means;
}

}  // namespace rahf::train
