#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "rahf/core/options.h"
#include "rahf/reward/weighting/weighting_map.h"
#include "rahf/rl/loop/advantage.h"
#include "rahf/rl/loop/rollouts.h"
#include "rahf/rl/objectives/levels.h"
#include "rahf/rl/objectives/objective.h"

namespace rahf::rl {

/// DiffusionNFT (Zheng et al. 2025, arXiv 2509.16117): reinforcement on the forward process. An
/// old policy samples, by any sampler; the trained one learns to go towards good pictures and away
/// from bad ones by mixtures of both predictions.
struct DiffusionNftOptions {
  RolloutOptions rollout{.prompts = 48, .pictures = 24, .stochasticity = 0};
  std::int64_t updates = 2;
  std::int64_t micro_batch = 8;
  double beta = 1;
  double kl_weight = 1e-4;
  bool normalise = true;
  double old_flat_rounds = 0;
  double old_slope = 0.001;
  double old_limit = 0.5;
  AdvantageOptions advantage{.spread = Spread::kBatch, .epsilon = 1e-4};
  LevelOptions levels;
  weighting::WeightingMapOptions map;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("rollout", self.rollout, "");
    visit("updates", self.updates, "optimiser steps that a round's pictures are split over; > 0");
    visit("micro_batch", self.micro_batch, "pictures whose gradient is taken at once; > 0");
    visit("beta", self.beta, "how far the mixtures reach from the old prediction; > 0");
    visit("kl_weight", self.kl_weight,
          "of the mean square between the predictions of trained and reference; >= 0");
    visit("normalise", self.normalise, "divide each error by its mean absolute error, detached");
    visit("old_flat_rounds", self.old_flat_rounds, "rounds after which old begins to lag; >= 0");
    visit("old_slope", self.old_slope, "growth of its decay per round after that; >= 0");
    visit("old_limit", self.old_limit, "greatest decay; in [0, 1)");
    visit("advantage", self.advantage, "");
    visit("levels", self.levels, "");
    visit("map", self.map, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
  /// Decay of the old policy after round `round` (from 0): clamp(slope (round + 1 - flat), 0,
  /// limit).
  double old_decay(std::int64_t round) const;
};

/// The two mixtures whose errors are weighed: v+ = (1 - beta) old + beta new,
/// v- = (1 + beta) old - beta new.
struct NftMixtures {
  torch::Tensor towards, away;
};
NftMixtures nft_mixtures(const torch::Tensor& trained, const torch::Tensor& old, double beta);

/// r = clip(A / (2 clip) + 1/2, 0, 1): how good a picture is. [B] from [B].
torch::Tensor nft_optimality(const torch::Tensor& advantages, double clip);

class DiffusionNft : public Objective {
 public:
  /// @throws ConfigError for a generator of tokens: predictions of ids do not mix.
  DiffusionNft(DiffusionNftOptions options, Stage stage);

  std::int64_t updates_per_round() const override { return options_.updates; }
  Measures begin_round(std::int64_t round) override;
  std::int64_t updates() const override;
  std::int64_t pieces(std::int64_t update) const override;
  Piece piece(std::int64_t update, std::int64_t piece) override;
  void end_round(std::int64_t round) override;
  torch::Tensor pictures() const override { return round_.rollout.images; }

  io::TensorMap state() const override;
  void load_state(const io::TensorMap& state) override;

 private:
  DiffusionNftOptions options_;
  std::vector<PromptRewards> seen_;
  std::vector<OptimisedParameter> trainable_;
  std::vector<torch::Tensor> old_;  ///< What the generator's old policy holds.

  // Of the present round.
  std::int64_t index_ = 0;
  Round round_;
  torch::Tensor rows_;        ///< [R] i64, shuffled
  torch::Tensor advantages_;  ///< [N] f32
  torch::Tensor weights_;     ///< [N, h, w] f32, or undefined
};

}  // namespace rahf::rl
