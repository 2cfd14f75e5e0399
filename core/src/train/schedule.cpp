#include "rahf/core/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

namespace rahf::train {

void ScheduleOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("ScheduleOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("learning_rate", learning_rate, learning_rate > 0, "> 0");
  check("warmup", static_cast<double>(warmup), warmup >= 0, ">= 0");
  check("final_share", final_share, final_share >= 0 && final_share <= 1, "in [0, 1]");
}

double ScheduleOptions::at(std::int64_t update, std::int64_t updates) const {
  const auto count = static_cast<double>(update + 1);
  if (update < warmup) return learning_rate * count / static_cast<double>(warmup);
  switch (decay) {
    case Decay::kConstant:
      return learning_rate;
    case Decay::kInverseSquareRoot:
      return learning_rate *
             std::sqrt(static_cast<double>(std::max<std::int64_t>(warmup, 1)) / count);
    case Decay::kCosine:
      break;
  }
  const auto length = static_cast<double>(std::max<std::int64_t>(updates - warmup, 1));
  const double share = std::min(1.0, static_cast<double>(update - warmup) / length);
  const double fall = 0.5 * (1 + std::cos(std::numbers::pi * share));
  return learning_rate * (final_share + (1 - final_share) * fall);
}

}  // namespace rahf::train
