#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "rahf/core/options.h"

namespace rahf::generators {

/// How the variance beta of the noise that one training step adds grows from the first to the last.
enum class BetaSchedule {
  kLinear,
  kScaledLinear,   ///< Its square root is linear (Rombach et al. 2022).
  kSquaredCosine,  ///< Nichol and Dhariwal 2021, arXiv 2102.09672, each beta at most .999.
};

struct NoiseScheduleOptions {
  std::int64_t train_steps = 1000;  ///< N, steps of the forward process; > 1.
  BetaSchedule betas = BetaSchedule::kScaledLinear;
  double beta_start = 0.00085;     ///< In (0, 1).
  double beta_end = 0.012;         ///< In (0, 1).
  bool zero_terminal_snr = false;  ///< The last step leaves nothing of the picture (Lin et al.
                                   ///< 2024, arXiv 2305.08891, algorithm 1).

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("train_steps", self.train_steps, "steps of the forward process; > 1");
    visit("betas", self.betas, "how the variance of the added noise grows");
    visit("beta_start", self.beta_start, "variance that the first step adds; in (0, 1)");
    visit("beta_end", self.beta_end, "variance that the last step adds; in (0, 1)");
    visit("zero_terminal_snr", self.zero_terminal_snr,
          "rescale so that the last step leaves nothing of the picture");
  }
  /// @param where  for the error's text
  /// @throws ConfigError naming the field.
  void validate(const std::string& where) const;
  bool operator==(const NoiseScheduleOptions&) const = default;
};

/// Share of the picture's variance that is left after each training step, the product of (1 - beta)
/// over the steps so far.
/// @return [N] f32 on the CPU, falling
torch::Tensor alphas_cumprod(const NoiseScheduleOptions& options);

}  // namespace rahf::generators

template <>
struct rahf::EnumNames<rahf::generators::BetaSchedule> {
  static constexpr std::array<std::pair<rahf::generators::BetaSchedule, std::string_view>, 3> value{
      {{rahf::generators::BetaSchedule::kLinear, "linear"},
       {rahf::generators::BetaSchedule::kScaledLinear, "scaled_linear"},
       {rahf::generators::BetaSchedule::kSquaredCosine, "squaredcos_cap_v2"}}};
};
