#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "rahf/core/options.h"
#include "rahf/reward/weighting/weighting_map.h"
#include "rahf/rl/loop/rollouts.h"
#include "rahf/rl/objectives/levels.h"
#include "rahf/rl/objectives/objective.h"

namespace rahf::rl {

/// Pairs of pictures of one prompt, the reward's favourite first.
struct Pairs {
  torch::Tensor better, worse;  ///< [M] i64, rows of the round
};

/// The best and the worst of each prompt; none of a prompt whose rewards are all equal.
/// @param rewards  [N] f32
Pairs best_and_worst(const torch::Tensor& rewards, const Prompts& prompts);

/// D3PO's loss of a pair at one step:
///
///     -log sigmoid(beta (log clip(r_better) - log clip(r_worse))),   clip to 1 -+ clamp
///
/// where log r = mean over locations of log p - log p_reference.
/// @param better, worse  [M, S] f32, log r  @return [M, S] f32
torch::Tensor d3po_loss(const torch::Tensor& better, const torch::Tensor& worse, double beta,
                        double clamp);

/// Diffusion-DPO's loss of a pair from the errors of both models on it:
///
///     -log sigmoid(-beta / 2 ((e_better - e_worse) - (reference's e_better - e_worse)))
///
/// @return [M] f32 from four times [M]
torch::Tensor diffusion_dpo_loss(const torch::Tensor& better, const torch::Tensor& worse,
                                 const torch::Tensor& reference_better,
                                 const torch::Tensor& reference_worse, double beta);

/// D3PO (Yang et al. 2024, arXiv 2311.13231): preferences on the sampler's own steps.
struct D3poOptions {
  RolloutOptions rollout{.prompts = 10, .pictures = 2, .steps = 20, .guidance_scale = 5};
  std::int64_t updates = 1;
  std::int64_t train_steps = 0;
  std::int64_t micro_batch = 2;
  double beta = 0.1;
  double ratio_clamp = 0.1;
  weighting::WeightingMapOptions map;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("rollout", self.rollout, "");
    visit("updates", self.updates, "optimiser steps that a round's pairs are split over; > 0");
    visit("train_steps", self.train_steps, "S, steps trained of each pair; 0 is all; >= 0");
    visit("micro_batch", self.micro_batch, "pairs whose gradient is taken at once; > 0");
    visit("beta", self.beta, "how sharply a pair is told apart; > 0");
    visit("ratio_clamp", self.ratio_clamp, "ratios count within 1 -+ this; in (0, 1)");
    visit("map", self.map, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Diffusion-DPO (Wallace et al. 2024, arXiv 2311.12908) on pairs ranked by the reward: preferences
/// on the forward process, both pictures of a pair under the same noise.
struct DiffusionDpoOptions {
  RolloutOptions rollout{.prompts = 32, .pictures = 2, .stochasticity = 0};
  bool offline = true;
  std::int64_t updates = 1;
  std::int64_t micro_batch = 8;
  double beta = 5000;
  LevelOptions levels;
  weighting::WeightingMapOptions map;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("rollout", self.rollout, "");
    visit("offline", self.offline, "sample pairs from the model as training found it");
    visit("updates", self.updates, "optimiser steps that a round's pairs are split over; > 0");
    visit("micro_batch", self.micro_batch, "pairs whose gradient is taken at once; > 0");
    visit("beta", self.beta, "how sharply a pair is told apart; > 0");
    visit("levels", self.levels, "");
    visit("map", self.map, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// What both have in common: rounds of pairs, split over updates and pieces.
class PairObjective : public Objective {
 public:
  using Objective::Objective;

  std::int64_t updates() const override;
  std::int64_t pieces(std::int64_t update) const override;
  torch::Tensor pictures() const override { return round_.rollout.images; }

 protected:
  struct Split {
    std::int64_t updates, micro_batch;
  };
  /// Samples, judges and pairs; the pairs are shuffled.
  Measures pair_round(std::int64_t round, const RolloutOptions& rollout, Policy policy,
                      bool keep_trajectory, const weighting::WeightingMapOptions& map, Split split);
  /// The pairs of a piece, and how many the update has in all.
  struct Part {
    torch::Tensor better, worse;  ///< [m] i64
    std::int64_t first;           ///< Number of the first in the round.
    std::int64_t whole;
  };
  Part part(std::int64_t update, std::int64_t piece) const;

  std::int64_t index_ = 0;
  Round round_;
  Pairs pairs_;
  torch::Tensor weights_;  ///< [N, h, w] f32, or undefined

 private:
  Split split_{1, 1};
};

class D3po : public PairObjective {
 public:
  D3po(D3poOptions options, Stage stage);

  std::int64_t updates_per_round() const override { return options_.updates; }
  Measures begin_round(std::int64_t round) override;
  Piece piece(std::int64_t update, std::int64_t piece) override;

 private:
  torch::Tensor reference_log_prob();

  D3poOptions options_;
  std::vector<OptimisedParameter> trainable_;
  std::vector<torch::Tensor> reference_;  ///< Values as training found them.
  torch::Tensor reference_log_prob_;      ///< [N, T, h, w] f32
  torch::Tensor steps_;                   ///< [M, S] i64, of each pair
};

class DiffusionDpo : public PairObjective {
 public:
  DiffusionDpo(DiffusionDpoOptions options, Stage stage);

  std::int64_t updates_per_round() const override { return options_.updates; }
  Measures begin_round(std::int64_t round) override;
  Piece piece(std::int64_t update, std::int64_t piece) override;

 private:
  DiffusionDpoOptions options_;
};

}  // namespace rahf::rl
