#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "rahf/core/options.h"
#include "rahf/reward/weighting/weighting_map.h"
#include "rahf/rl/loop/advantage.h"
#include "rahf/rl/loop/rollouts.h"
#include "rahf/rl/objectives/objective.h"
#include "rahf/rl/objectives/policy_loss.h"
#include "rahf/rl/objectives/value_baseline.h"

namespace rahf::rl {

/// Which of a picture's T steps are trained.
enum class StepChoice {
  kRandom,  ///< S of them, each picture its own.
  kWindow,  ///< S in a row, the same for all, moving on over the rounds: as MixGRPO's window. The
            ///< sampler is as stochastic outside of it as inside.
};

/// How much each step counts.
enum class StepWeights {
  kUniform,
  kSlope,  ///< By the inverse of the norm of the gradient of its log-probability, measured in the
           ///< first round, mean 1: without it the last steps of a diffusion drown the first.
};

/// DDPO, GRPO, Flow-GRPO, Mask-GRPO, DPOK and MixGRPO are settings of one algorithm; the defaults
/// here are Flow-GRPO's. See registry.h for the others'.
struct PolicyGradientOptions {
  RolloutOptions rollout{
      .prompts = 48, .pictures = 24, .guidance_scale = 4.5, .stochasticity = 0.7};
  std::int64_t updates = 2;
  std::int64_t epochs = 1;
  std::int64_t train_steps = 0;
  StepChoice step_choice = StepChoice::kRandom;
  std::int64_t window_rounds = 25;
  StepWeights step_weights = StepWeights::kUniform;
  double train_guidance = -1;
  std::int64_t micro_batch = 8;
  bool normalise_terms = false;
  AdvantageOptions advantage{.spread = Spread::kBatch, .epsilon = 1e-4};
  PolicyLossOptions loss;
  ValueBaselineOptions value;
  weighting::WeightingMapOptions map;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("rollout", self.rollout, "");
    visit("updates", self.updates, "optimiser steps that a round's pictures are split over; > 0");
    visit("epochs", self.epochs, "times that they are gone over; > 0");
    visit("train_steps", self.train_steps, "S, steps trained of each picture; 0 is all; >= 0");
    visit("step_choice", self.step_choice, "which of the steps");
    visit("window_rounds", self.window_rounds, "rounds after which a window moves on; > 0");
    visit("step_weights", self.step_weights, "how much each step counts");
    visit("train_guidance", self.train_guidance,
          "guidance of the policy that is trained; < 0 is that of the sampler");
    visit("micro_batch", self.micro_batch, "pictures whose gradient is taken at once; > 0");
    visit("normalise_terms", self.normalise_terms,
          "make advantages of each reward term by itself, then add them up by weight");
    visit("advantage", self.advantage, "");
    visit("loss", self.loss, "");
    visit("value", self.value, "");
    visit("map", self.map, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Finetuning by the gradient of the sampled steps' log-probabilities. Needs a stochastic sampler.
class PolicyGradient : public Objective {
 public:
  PolicyGradient(PolicyGradientOptions options, Stage stage);

  std::int64_t updates_per_round() const override { return options_.updates * options_.epochs; }
  Measures begin_round(std::int64_t round) override;
  std::int64_t updates() const override;
  std::int64_t pieces(std::int64_t update) const override;
  Piece piece(std::int64_t update, std::int64_t piece) override;
  torch::Tensor pictures() const override { return round_.rollout.images; }

  io::TensorMap state() const override;
  void load_state(const io::TensorMap& state) override;

 private:
  std::pair<std::int64_t, std::int64_t> range(std::int64_t update, std::int64_t piece) const;
  torch::Tensor choose_steps(std::int64_t round) const;
  void measure_slopes();

  PolicyGradientOptions options_;
  std::vector<PromptRewards> seen_;  ///< One per reward term, or one.
  ValueBaseline value_;
  torch::Tensor step_weights_;  ///< [T] f32, or undefined

  // Of the present round.
  std::int64_t index_ = 0;
  Round round_;
  torch::Tensor rows_;          ///< [R] i64, pictures to learn from, shuffled
  torch::Tensor steps_;         ///< [N, S] i64
  torch::Tensor advantages_;    ///< [N, S] f32
  torch::Tensor old_log_prob_;  ///< [N, T, h, w] f32
  torch::Tensor weights_;       ///< [N, h, w] f32, or undefined
};

}  // namespace rahf::rl

template <>
struct rahf::EnumNames<rahf::rl::StepChoice> {
  using Choice = rahf::rl::StepChoice;
  static constexpr std::array<std::pair<Choice, std::string_view>, 2> value = {
      {{Choice::kRandom, "random"}, {Choice::kWindow, "window"}}};
};

template <>
struct rahf::EnumNames<rahf::rl::StepWeights> {
  using Weights = rahf::rl::StepWeights;
  static constexpr std::array<std::pair<Weights, std::string_view>, 2> value = {
      {{Weights::kUniform, "uniform"}, {Weights::kSlope, "slope"}}};
};
