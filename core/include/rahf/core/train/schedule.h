#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "rahf/core/options.h"

namespace rahf::train {

enum class Decay { kConstant, kInverseSquareRoot, kCosine };

/// Learning rate over updates: linear warm-up, then decay.
struct ScheduleOptions {
  double learning_rate = 1e-3;  ///< At the end of the warm-up; > 0.
  std::int64_t warmup = 100;    ///< Updates; >= 0.
  Decay decay = Decay::kCosine;
  double final_share = 0;  ///< Cosine: the last update's rate over learning_rate; in [0, 1].

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("learning_rate", self.learning_rate, "learning rate after the warm-up; > 0");
    visit("warmup", self.warmup, "updates of linear warm-up; >= 0");
    visit("decay", self.decay, "what follows the warm-up");
    visit("final_share", self.final_share,
          "cosine: the last update's rate over learning_rate; in [0, 1]");
  }
  /// @throws ConfigError naming the field.
  void validate() const;

  /// @param update   from 0
  /// @param updates  how many there will be in all
  ///
  ///     warm-up: lr (update + 1) / warmup;   inverse square root: lr sqrt(warmup / (update + 1));
  ///     cosine: from lr to lr final_share over the updates after the warm-up
  double at(std::int64_t update, std::int64_t updates) const;
};

}  // namespace rahf::train

template <>
struct rahf::EnumNames<rahf::train::Decay> {
  static constexpr std::array<std::pair<rahf::train::Decay, std::string_view>, 3> value = {
      {{rahf::train::Decay::kConstant, "constant"},
       {rahf::train::Decay::kInverseSquareRoot, "inverse-square-root"},
       {rahf::train::Decay::kCosine, "cosine"}}};
};
