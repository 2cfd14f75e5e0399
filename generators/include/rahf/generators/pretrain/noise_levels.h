#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "rahf/core/draws.h"
#include "rahf/core/options.h"

namespace rahf::generators {

/// How the noise levels that a generator learns at are spread over [0, 1]; u is uniform, n normal.
enum class LevelSpread {
  kUniform,      ///< u
  kLogitNormal,  ///< sigmoid(mean + deviation n) (Esser et al. 2024, arXiv 2403.03206)
  kCosine,       ///< cos(u pi / 2) (MaskGIT, Chang et al. 2022, arXiv 2202.04200)
};

struct NoiseLevels {
  LevelSpread spread = LevelSpread::kUniform;
  double mean = 0;       ///< Of the logit-normal spread: above 0 favours noisy states.
  double deviation = 1;  ///< Of the logit-normal spread; > 0.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("spread", self.spread, "how noise levels are drawn from [0, 1]");
    visit("mean", self.mean, "of the logit-normal spread; above 0 favours noisy states");
    visit("deviation", self.deviation, "of the logit-normal spread; > 0");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
  /// @return [count] f32 in [0, 1], on the CPU
  torch::Tensor draw(std::int64_t count, const Draws& draws) const;
};

}  // namespace rahf::generators

template <>
struct rahf::EnumNames<rahf::generators::LevelSpread> {
  using Spread = rahf::generators::LevelSpread;
  static constexpr std::array<std::pair<Spread, std::string_view>, 3> value = {
      {{Spread::kUniform, "uniform"},
       {Spread::kLogitNormal, "logit-normal"},
       {Spread::kCosine, "cosine"}}};
};
