#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rahf/core/generator.h"
#include "rahf/core/options.h"
#include "rahf/rl/loop/prompt_stream.h"
#include "rahf/rl/loop/scorer.h"

namespace rahf::rl {

/// Which pictures a round makes, and how.
struct RolloutOptions {
  std::int64_t prompts = 8;
  std::int64_t pictures = 8;
  std::int64_t batch_size = 32;
  std::int64_t steps = 10;
  double guidance_scale = 1;
  double stochasticity = 1;
  std::string negative_prompt;
  bool same_start = false;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("prompts", self.prompts, "P, prompts of a round; > 0");
    visit("pictures", self.pictures, "G, pictures per prompt; > 0");
    visit("batch_size", self.batch_size, "pictures sampled at once; > 0");
    visit("steps", self.steps, "T, steps of the sampler; > 0");
    visit("guidance_scale", self.guidance_scale, "classifier-free guidance; 1 is none; >= 0");
    visit("stochasticity", self.stochasticity,
          "DDIM's eta, the noise of a flow's SDE, or Muse's temperature; >= 0");
    visit("negative_prompt", self.negative_prompt, "what guidance leads away from");
    visit("same_start", self.same_start, "one first noise for the pictures of a prompt");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
  SampleOptions sampling() const;
};

/// P x G pictures, those of a prompt side by side, judged. N = P G.
struct Round {
  Rollout rollout;
  Scored scored;
};

/// Samples and judges round number `index`, without a gradient. What it draws depends on `random`
/// and `index` alone.
/// @param keep_trajectory  keep states and log-probabilities
/// @param maps             keep heatmaps
Round make_round(Generator& generator, const Scorer& scorer, const PromptStream& prompts,
                 const RolloutOptions& options, std::int64_t index, const Randomness& random,
                 Policy policy, bool keep_trajectory, bool maps);

/// One rollout of the samples of several, which must have been sampled alike.
Rollout join(const std::vector<Rollout>& parts);

}  // namespace rahf::rl
