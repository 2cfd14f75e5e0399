#pragma once

#include <torch/types.h>

#include <cstdint>

#include "rahf/core/generator.h"
#include "rahf/core/options.h"
#include "rahf/core/prompt.h"
#include "rahf/rl/loop/scorer.h"

namespace rahf::rl {

/// Leading a sampler by the gradient of a reward on its clean-image estimates.
struct GuidanceOptions {
  double scale = 0;          ///< Length of a push in units of noise; 0 samples plainly; >= 0.
  std::int64_t repeats = 1;  ///< Pushes per step, each on a new estimate; > 0.
  double begin = 0;          ///< Share of the steps after which pushes begin; in [0, 1).
  double end = 1;            ///< Share of the steps after which they end; in (begin, 1].

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("scale", self.scale,
          "length of a push: root mean square over the state's numbers, times the noise level; "
          ">= 0");
    visit("repeats", self.repeats, "pushes per step, each on a new estimate; > 0");
    visit("begin", self.begin, "share of the steps after which pushes begin; in [0, 1)");
    visit("end", self.end, "share of the steps after which they end; in (begin, 1]");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// A hook that moves the state uphill after a step:
///
///     x <- x + scale level g / rms(g),   g = d total(clean_images(x)) / dx
///
/// Classifier guidance (Dhariwal & Nichol 2021, arXiv 2105.05233) through the decoded estimate, as
/// universal guidance (Bansal et al. 2023, arXiv 2302.07121) does. The gradient's length is
/// divided out per picture, so that one scale serves rewards of any size; where the gradient is 0
/// or not finite a picture is left as it is. A picture's push does not depend on its batch.
/// @param scorer, prompts  must outlive the hook
/// @throws ConfigError if the reward is not differentiable. Sampling throws if the generator's
///         states have no gradient path.
SteeringHook guidance(const Scorer& scorer, const Prompts& prompts, const GuidanceOptions& options);

}  // namespace rahf::rl
