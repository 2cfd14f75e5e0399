#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rahf/core/options.h"
#include "rahf/core/reward.h"

namespace rahf::rl {

/// Which of a reward's answers a run raises, and how much each counts.
struct ScoringOptions {
  std::vector<std::string> terms = {"plausibility", "alignment"};
  std::vector<double> weights = {1, 1};
  std::int64_t batch_size = 32;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("terms", self.terms,
          "scores of the reward by name; also implausibility and misalignment, 1 minus the mean "
          "of that heatmap");
    visit("weights", self.weights, "one per term");
    visit("batch_size", self.batch_size, "pictures judged at once; > 0");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Pictures with what a reward said about them.
struct Scored {
  torch::Tensor terms;  ///< [B, R] f32, higher is better; R = ScoringOptions::terms.size()
  torch::Tensor total;  ///< [B] f32, their sum by weight
  Judgement judgement;  ///< With heatmaps if they were asked for.
};

/// Asks a reward and checks what it answers. The reward must outlive it; as thread-safe as that.
class Scorer {
 public:
  /// @throws ConfigError if a term is none of the reward's.
  Scorer(Reward& reward, ScoringOptions options);

  /// Without a gradient, `batch_size` at a time.
  /// @param maps  keep the heatmaps in the judgement
  /// @throws NonFiniteError naming the term and the prompt if an answer is not finite
  /// @throws ShapeError if the reward does not give its scores for each picture
  Scored score(const torch::Tensor& images, const Prompts& prompts, bool maps = false) const;
  /// With the gradient from the answers to `images`, all at once.
  /// @throws ConfigError if the reward is not differentiable.
  Scored score_through(const torch::Tensor& images, const Prompts& prompts,
                       bool maps = false) const;

  const ScoringOptions& options() const { return options_; }
  bool differentiable() const { return reward_.differentiable(); }

 private:
  Scored judge(const torch::Tensor& images, const Prompts& prompts, bool maps) const;

  Reward& reward_;
  ScoringOptions options_;
  std::vector<std::int64_t> columns_;  ///< Of each term in the scores; -1 and -2 are heatmaps.
  bool heat_terms_ = false;
};

}  // namespace rahf::rl
