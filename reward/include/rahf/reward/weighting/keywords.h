#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rahf/core/options.h"
#include "rahf/core/prompt.h"

namespace rahf::weighting {

/// What misaligned words do to a prompt. A word counts as missed if P(misaligned) >= threshold.
struct KeywordOptions {
  double strength = 0;  ///< Missed words condition 1 + strength times as much; 0 is neutral; >= 0.
  double threshold = 0.5;  ///< In [0, 1].

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("strength", self.strength,
          "missed words condition 1 + strength times as much; 0 changes nothing; >= 0");
    visit("threshold", self.threshold, "P(misaligned) from which a word is missed; in [0, 1]");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// The prompts with the weights of their missed words raised. Weights that prompts had are
/// multiplied; with strength 0 the prompts come back as they were.
/// @param misaligned  [B, W] f32 in [0, 1], word by word as split_words() counts them
/// @throws ShapeError if a prompt has more than W words.
Prompts emphasise_missed(const Prompts& prompts, const torch::Tensor& misaligned,
                         const KeywordOptions& options);

/// The prompts with their runs of missed words said once more at the end, in the order of the
/// prompt: "two red stars above a circle" that misses "red" and "stars" becomes
/// "two red stars above a circle, red stars". Nothing missed changes nothing.
Prompts repeat_missed(const Prompts& prompts, const torch::Tensor& misaligned,
                      const KeywordOptions& options);

/// How well the pictures show the words of their prompts: 1 minus the mean of P(misaligned) over
/// the words that exist; 1 for a prompt without words. Differentiable.
/// @param misaligned  [B, W] f32 in [0, 1]
/// @param mask        [B, W] bool, which words exist
/// @return            [B] f32 in [0, 1], higher is better
torch::Tensor keyword_reward(const torch::Tensor& misaligned, const torch::Tensor& mask);

/// Draws prompts more often the more of their words were missed when last seen:
///
///     P(i) ~ 1 + strength * missed share of prompt i
///
/// Starts uniform; strength 0 stays uniform. State is one number per prompt, to be saved along.
class PromptCurriculum {
 public:
  /// @param strength  >= 0
  /// @param memory    share of an old observation that a new one leaves; in [0, 1)
  PromptCurriculum(std::int64_t prompts, double strength, double memory = 0.5);

  /// @param rows    [R] i64, prompts seen
  /// @param missed  [R] f32 in [0, 1], share of their words that were missed
  void observe(const torch::Tensor& rows, const torch::Tensor& missed);
  /// [P] f32, sums to 1.
  torch::Tensor probabilities() const;

  /// [P] f32, the missed shares; @throws ShapeError if another number of prompts is loaded.
  const torch::Tensor& state() const { return missed_; }
  void load_state(const torch::Tensor& state);

 private:
  double strength_, memory_;
  torch::Tensor missed_;
};

}  // namespace rahf::weighting
