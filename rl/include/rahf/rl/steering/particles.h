#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "rahf/core/draws.h"
#include "rahf/core/generator.h"
#include "rahf/core/options.h"
#include "rahf/core/prompt.h"
#include "rahf/rl/loop/scorer.h"

namespace rahf::rl {

/// What a particle's weight is made of, r_i its reward at resampling i (Singhal et al. 2025, arXiv
/// 2501.06848).
enum class Potential {
  kDifference,  ///< exp(lambda (r_i - r_(i-1))), r_0 = 0
  kMax,         ///< exp(lambda max_{j <= i} r_j)
  kSum,         ///< exp(lambda sum_{j <= i} r_j)
};

/// Feynman-Kac steering: several samples of a prompt side by side, the promising ones copied over
/// the others as sampling goes on.
struct ParticleOptions {
  std::int64_t particles = 4;  ///< k, samples per prompt; > 0.
  double lambda = 10;          ///< How sharply rewards choose; 0 never does; >= 0.
  std::int64_t every = 2;      ///< Steps between resamplings; > 0.
  double begin = 0.1;          ///< Share of the steps after which resampling begins; in [0, 1).
  double end = 0.9;            ///< Share of the steps after which it ends; in (begin, 1].
  double ess_threshold = 1;    ///< Resample where the effective sample size is below this share of
                               ///< k; 1 always does unless weights are equal; in (0, 1].
  Potential potential = Potential::kMax;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("particles", self.particles, "samples per prompt, side by side; > 0");
    visit("lambda", self.lambda, "how sharply rewards choose; 0 never does; >= 0");
    visit("every", self.every, "steps between resamplings; > 0");
    visit("begin", self.begin, "share of the steps after which resampling begins; in [0, 1)");
    visit("end", self.end, "share of the steps after which it ends; in (begin, 1]");
    visit("ess_threshold", self.ess_threshold,
          "share of the particles below which the effective number must be; in (0, 1]");
    visit("potential", self.potential, "what weights are made of");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Systematic resampling: as many ancestors as weights, weight w_i chosen floor or ceil of n w_i
/// times. @param weights  [P, k] f32, not negative, a positive one per row
/// @param offset  [P] f32 in [0, 1), one draw per row
/// @return        [P, k] i64 in [0, k), ascending
torch::Tensor systematic_resampling(const torch::Tensor& weights, const torch::Tensor& offset);

/// One picture per prompt: the particle with the highest reward at the end.
struct Steering {
  torch::Tensor images;   ///< [P, 3, H, W] f32 RGB in [0, 1]
  torch::Tensor rewards;  ///< [P] f32, of these
  torch::Tensor all;      ///< [P, k] f32, of every particle at the end
};

/// Samples `particles` pictures per prompt with resampling, and keeps the best. Works for every
/// generator; no gradient is needed. With lambda 0 it is best_of_n().
Steering sample_particles(Generator& generator, const Scorer& scorer, const Prompts& prompts,
                          SampleOptions sampling, const ParticleOptions& options,
                          const Draws& draws);

/// Samples n pictures per prompt and keeps the one with the highest reward.
/// @param n  > 0
Steering best_of_n(Generator& generator, const Scorer& scorer, const Prompts& prompts,
                   const SampleOptions& sampling, std::int64_t n, const Draws& draws);

/// Every prompt `times` times, side by side.
Prompts repeat_each(const Prompts& prompts, std::int64_t times);

}  // namespace rahf::rl

template <>
struct rahf::EnumNames<rahf::rl::Potential> {
  using Potential = rahf::rl::Potential;
  static constexpr std::array<std::pair<Potential, std::string_view>, 3> value = {
      {{Potential::kDifference, "difference"}, {Potential::kMax, "max"}, {Potential::kSum, "sum"}}};
};
