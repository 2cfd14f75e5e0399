#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "rahf/core/options.h"
#include "rahf/generators/schedulers/noise_schedule.h"

namespace rahf::generators {

/// What the network gives for a noisy state.
enum class Prediction {
  kNoise,     ///< epsilon
  kClean,     ///< The clean latents.
  kVelocity,  ///< v = sqrt(a) noise - sqrt(1 - a) clean (Salimans and Ho 2022, arXiv 2202.00512).
  kFlow,      ///< noise - clean, of a rectified flow (Liu et al. 2022, arXiv 2209.03003).
};

/// How the way from noise to picture is walked.
enum class Sampler {
  kDdim,         ///< Song et al. 2020, arXiv 2010.02502; stochasticity is eta.
  kDdpm,         ///< Ho et al. 2020, arXiv 2006.11239, with the small variance; stochasticity is 1.
  kEuler,        ///< Karras et al. 2022, arXiv 2206.00364; deterministic.
  kDpmSolver2M,  ///< DPM-Solver++ of order 2, multistep, midpoint (Lu et al. 2022, arXiv
                 ///< 2211.01095); deterministic.
  kFlow,  ///< Euler on a rectified flow, or with stochasticity a the SDE of Flow-GRPO (Liu et al.
          ///< 2025, arXiv 2505.05470) with noise a sqrt(sigma / (1 - sigma)).
};

/// Which training steps a sampler stops at (Lin et al. 2024, arXiv 2305.08891, table 2).
enum class Spacing { kLeading, kTrailing, kLinspace };

/// What a pipeline's scheduler_config.json says.
struct SchedulerOptions {
  Sampler sampler = Sampler::kDdim;
  Prediction prediction =
      Prediction::kNoise;  ///< kFlow goes with Sampler::kFlow, and only with it.
  NoiseScheduleOptions noise;
  Spacing spacing = Spacing::kLeading;
  std::int64_t steps_offset = 0;  ///< Added to the steps of leading spacing; >= 0.
  bool final_alpha_one = false;   ///< DDIM's last step ends at the clean estimate, not one training
                                  ///< step before it. Holds for stochasticity 0: a stochastic last
                                  ///< step keeps its variance (as in DDPO).
  double clean_range = 0;  ///< DDIM and DDPM clamp the clean estimate to +- this; 0 does not; >= 0.
  double flow_shift = 1;   ///< Of a flow's sigmas, s x / (1 + (s - 1) x); > 0.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("sampler", self.sampler, "how the way from noise to picture is walked");
    visit("prediction", self.prediction, "what the network gives");
    visit("noise", self.noise, "");
    visit("spacing", self.spacing, "which training steps a sampler stops at");
    visit("steps_offset", self.steps_offset, "added to the steps of leading spacing; >= 0");
    visit("final_alpha_one", self.final_alpha_one, "DDIM's last step ends at the clean estimate");
    visit("clean_range", self.clean_range, "clamps DDIM's and DDPM's clean estimate; 0 does not");
    visit("flow_shift", self.flow_shift, "moves a flow's steps towards noise; > 0");
  }
  /// @param where  for the error's text
  /// @throws ConfigError naming the field.
  void validate(const std::string& where) const;
  bool operator==(const SchedulerOptions&) const = default;
};

/// diffusers' class for a sampler, for example "DDIMScheduler".
std::string scheduler_class(Sampler sampler);

/// From the scheduler_config.json of a pipeline folder. PNDM's becomes DDIM's.
/// @throws FileError if the file is not JSON, ConfigError naming file and key if a value is not one
///         that this library computes.
SchedulerOptions scheduler_options(const std::filesystem::path& scheduler_config_json);

/// Writes a scheduler_config.json that reads back as these options, as far as their sampler uses
/// them.
void write_scheduler_config(const std::filesystem::path& scheduler_config_json,
                            const SchedulerOptions& options);

}  // namespace rahf::generators

template <>
struct rahf::EnumNames<rahf::generators::Prediction> {
  static constexpr std::array<std::pair<rahf::generators::Prediction, std::string_view>, 4> value{
      {{rahf::generators::Prediction::kNoise, "epsilon"},
       {rahf::generators::Prediction::kClean, "sample"},
       {rahf::generators::Prediction::kVelocity, "v_prediction"},
       {rahf::generators::Prediction::kFlow, "flow"}}};
};
template <>
struct rahf::EnumNames<rahf::generators::Sampler> {
  static constexpr std::array<std::pair<rahf::generators::Sampler, std::string_view>, 5> value{
      {{rahf::generators::Sampler::kDdim, "ddim"},
       {rahf::generators::Sampler::kDdpm, "ddpm"},
       {rahf::generators::Sampler::kEuler, "euler"},
       {rahf::generators::Sampler::kDpmSolver2M, "dpm-solver-2m"},
       {rahf::generators::Sampler::kFlow, "flow"}}};
};
template <>
struct rahf::EnumNames<rahf::generators::Spacing> {
  static constexpr std::array<std::pair<rahf::generators::Spacing, std::string_view>, 3> value{
      {{rahf::generators::Spacing::kLeading, "leading"},
       {rahf::generators::Spacing::kTrailing, "trailing"},
       {rahf::generators::Spacing::kLinspace, "linspace"}}};
};
