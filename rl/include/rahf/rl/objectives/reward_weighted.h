#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "rahf/core/options.h"
#include "rahf/reward/weighting/weighting_map.h"
#include "rahf/rl/loop/rollouts.h"
#include "rahf/rl/objectives/levels.h"
#include "rahf/rl/objectives/objective.h"

namespace rahf::rl {

/// What a picture's reward makes of it as a training example.
enum class Choosing {
  kSoftmax,        ///< Its weight is N softmax(inverse_temperature r) over the N pictures: RWR.
  kPromptSoftmax,  ///< The same over the pictures of its prompt.
  kBest,           ///< The best `keep` of each prompt count 1, if above the threshold: the paper's
                   ///< recipe, RAFT, best of n.
  kTopShare,       ///< The best share of all pictures counts 1.
};

struct ChoosingOptions {
  Choosing kind = Choosing::kBest;
  double inverse_temperature = 0.2;
  std::int64_t keep = 1;
  double threshold = -1e9;
  double top_share = 0.1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("kind", self.kind, "what a reward makes of a picture as a training example");
    visit("inverse_temperature", self.inverse_temperature,
          "softmax: what rewards are multiplied by; > 0");
    visit("keep", self.keep, "best: pictures kept of each prompt; > 0");
    visit("threshold", self.threshold, "best: least reward of a picture that is kept");
    visit("top_share", self.top_share, "top-share: share of pictures kept; in (0, 1]");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Weights of N pictures as training examples; 0 leaves one out.
/// @param rewards  [N] f32  @return [N] f32 on the CPU
torch::Tensor example_weights(const torch::Tensor& rewards, const Prompts& prompts,
                              const ChoosingOptions& options);

/// Reward-weighted finetuning: the generator is trained by its own loss on its own pictures,
/// weighted or chosen by their reward.
///
/// The recipe of "Rich Human Feedback for Text-to-Image Generation" (Liang et al. 2024, arXiv
/// 2312.10240, section 5): 8 pictures a prompt, the best one kept if its score passes a threshold;
/// RWR as Black et al. 2024 (arXiv 2305.13301) compare with; RAFT (Dong et al. 2023, arXiv
/// 2304.06767).
struct RewardWeightedOptions {
  RolloutOptions rollout{.prompts = 32, .pictures = 8};
  ChoosingOptions choosing;
  bool offline = false;
  std::int64_t first_rounds = 1;
  std::int64_t more_rounds = 1;
  std::int64_t memory = 4096;
  std::int64_t updates = 8;
  std::int64_t batch_size = 32;
  std::int64_t micro_batch = 32;
  double prompt_dropout = 0;
  LevelOptions levels;
  weighting::WeightingMapOptions map;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("rollout", self.rollout, "");
    visit("choosing", self.choosing, "");
    visit("offline", self.offline, "sample from the model as training found it");
    visit("first_rounds", self.first_rounds, "rounds sampled before the first update; > 0");
    visit("more_rounds", self.more_rounds,
          "rounds sampled before every later round of updates; >= 0");
    visit("memory", self.memory, "examples remembered, the newest; > 0");
    visit("updates", self.updates, "optimiser steps per round, on examples in random order; > 0");
    visit("batch_size", self.batch_size, "examples of an update; > 0");
    visit("micro_batch", self.micro_batch, "examples whose gradient is taken at once; > 0");
    visit("prompt_dropout", self.prompt_dropout,
          "share of examples trained without their prompt, as guidance needs; in [0, 1)");
    visit("levels", self.levels, "");
    visit("map", self.map, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

class RewardWeighted : public Objective {
 public:
  RewardWeighted(RewardWeightedOptions options, Stage stage);

  Measures begin_round(std::int64_t round) override;
  std::int64_t updates_per_round() const override { return options_.updates; }
  std::int64_t updates() const override { return order_.numel() == 0 ? 0 : options_.updates; }
  std::int64_t pieces(std::int64_t update) const override;
  Piece piece(std::int64_t update, std::int64_t piece) override;
  torch::Tensor pictures() const override { return round_.rollout.images; }

  io::TensorMap state() const override;
  void load_state(const io::TensorMap& state) override;

 private:
  void remember();
  std::int64_t kept() const { return latents_.defined() ? latents_.size(0) : 0; }

  RewardWeightedOptions options_;

  // Examples, the newest last.
  torch::Tensor latents_;     ///< [M, ...]
  torch::Tensor rows_;        ///< [M] i64, number of the prompt in the stage's list
  torch::Tensor weights_;     ///< [M] f32
  torch::Tensor maps_;        ///< [M, h, w] f32, or undefined
  std::int64_t sampled_ = 0;  ///< Rounds sampled.

  // Of the present round.
  std::int64_t index_ = 0;
  Round round_;
  torch::Tensor order_;  ///< [updates * batch_size] i64, examples in the order of training
};

}  // namespace rahf::rl

template <>
struct rahf::EnumNames<rahf::rl::Choosing> {
  using Kind = rahf::rl::Choosing;
  static constexpr std::array<std::pair<Kind, std::string_view>, 4> value = {
      {{Kind::kSoftmax, "softmax"},
       {Kind::kPromptSoftmax, "prompt-softmax"},
       {Kind::kBest, "best"},
       {Kind::kTopShare, "top-share"}}};
};
