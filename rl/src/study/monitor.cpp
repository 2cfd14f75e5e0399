#include "rahf/rl/study/monitor.h"

#include <cmath>
#include <sstream>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::rl {

void MonitorOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("MonitorOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("patience", static_cast<double>(patience), patience > 0, "> 0");
  check("margin", margin, margin >= 0, ">= 0");
  check("gain", gain, gain >= 0, ">= 0");
}

Monitor::Monitor(MonitorOptions options) : options_(options) { options_.validate(); }

std::optional<std::string> Monitor::observe(const Point& point) {
  for (const double value : {point.reward, point.held_out}) {
    if (!std::isfinite(value)) {
      throw NonFiniteError("Monitor: the evaluation at update " + std::to_string(point.update) +
                           " is not finite");
    }
  }
  points_.push_back(point);
  if (points_.size() == 1 || point.held_out > points_[best_].held_out) {
    best_ = points_.size() - 1;
    below_ = 0;
    return {};
  }
  const auto& peak = points_[best_];
  const bool worse = point.held_out < peak.held_out - options_.margin;
  const bool hacked = worse && point.reward > peak.reward + options_.gain;
  below_ = hacked ? below_ + 1 : 0;
  if (below_ != options_.patience) return {};
  alarms_.push_back(point.update);
  std::ostringstream text;
  text.precision(3);
  text << "update " << point.update << ": the reward rose from " << peak.reward << " to "
       << point.reward << " since update " << peak.update << " while the held-out judge fell from "
       << peak.held_out << " to " << point.held_out << " (reward hacking; the model of update "
       << peak.update << " is kept)";
  return text.str();
}

const Monitor::Point& Monitor::best() const {
  if (points_.empty()) throw Error("Monitor: nothing has been observed yet");
  return points_[best_];
}

torch::Tensor Monitor::state() const {
  auto all = torch::empty({std::ssize(points_), 3}, torch::kDouble);
  auto* value = all.data_ptr<double>();
  for (const auto& point : points_) {
    *value++ = static_cast<double>(point.update);
    *value++ = point.reward;
    *value++ = point.held_out;
  }
  return all;
}

void Monitor::load_state(const torch::Tensor& state) {
  Shapes("Monitor::load_state").check("state", state, {"N", 3}, torch::kDouble);
  *this = Monitor(options_);
  const auto rows = state.contiguous();
  const auto* value = rows.data_ptr<double>();
  for (std::int64_t i = 0; i < rows.size(0); ++i, value += 3) {
    observe(
        {.update = static_cast<std::int64_t>(value[0]), .reward = value[1], .held_out = value[2]});
  }
}

}  // namespace rahf::rl
