#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "rahf/core/generator.h"
#include "rahf/core/options.h"
#include "rahf/core/reward.h"
#include "rahf/core/train/optimisation.h"
#include "rahf/core/train/run_log.h"
#include "rahf/rl/loop/scorer.h"
#include "rahf/rl/objectives/registry.h"

namespace rahf::rl {

/// Pictures by which a run is followed: always the same prompts and draws.
struct FollowOptions {
  std::int64_t every = 20;
  std::int64_t pictures = 1;
  std::int64_t batch_size = 32;
  std::int64_t steps = 20;
  double guidance_scale = 1;
  double stochasticity = 0;
  std::int64_t shown = 16;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("every", self.every, "updates between evaluations on held-out prompts; 0 is never");
    visit("pictures", self.pictures, "per held-out prompt; > 0");
    visit("batch_size", self.batch_size, "pictures sampled at once; > 0");
    visit("steps", self.steps, "of the sampler; > 0");
    visit("guidance_scale", self.guidance_scale, "classifier-free guidance; 1 is none; >= 0");
    visit("stochasticity", self.stochasticity,
          "of the sampler; a policy gradient is best judged by the one it trains; >= 0");
    visit("shown", self.shown, "pictures of the grids; > 0");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// A finetuning run but for its objective's own options (registry.h).
struct FinetuneOptions {
  std::string objective = "grpo";
  std::int64_t updates = 200;
  std::uint64_t seed = 0;
  std::int64_t log_every = 1;
  std::int64_t save_every = 50;
  std::int64_t keep = 2;
  std::int64_t max_idle_rounds = 20;
  ScoringOptions scoring;
  FollowOptions follow;
  train::OptimisationOptions optimisation{
      .schedule = {.learning_rate = 1e-4, .warmup = 0, .decay = train::Decay::kConstant},
      .adamw = {.weight_decay = 1e-4}};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("objective", self.objective, "finetuning algorithm, by name");
    visit("updates", self.updates, "optimiser steps in all; > 0");
    visit("seed", self.seed, "of every random draw");
    visit("log_every", self.log_every, "updates between lines of metrics.jsonl; > 0");
    visit("save_every", self.save_every, "updates between checkpoints, made after a round; > 0");
    visit("keep", self.keep, "checkpoints that stay; > 0");
    visit("max_idle_rounds", self.max_idle_rounds,
          "rounds in a row with nothing to learn from after which the run fails; > 0");
    visit("scoring", self.scoring, "");
    visit("follow", self.follow, "");
    visit("optimisation", self.optimisation, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
  /// Names of the fields that change no result.
  static std::set<std::string> free();
};

/// What a run is made of; all of it must outlive it.
struct FinetuneParts {
  Generator& generator;  ///< Its trainable parameters are changed.
  Reward& reward;
  Prompts prompts;   ///< To learn from.
  Prompts held_out;  ///< To be followed by; empty: never evaluated.
  /// What a judge that trains nothing says of pictures, to be logged as "judge/NAME"; may be empty.
  std::function<train::RunLog::Values(const torch::Tensor& images, const Prompts& prompts)> judge =
      {};
};

struct FinetunePlace {
  std::filesystem::path run;
  bool resume = false;
  std::map<std::string, std::string> facts = {};  ///< What else decides the result: names of
                                                  ///< generator and reward, a hash of the prompts.
};

struct FinetuneResult {
  std::int64_t updates = 0;  ///< Made; fewer than asked for if rounds had too little to learn from.
  std::int64_t rounds = 0;
  std::int64_t pictures = 0;            ///< Sampled to learn from, by this process.
  double seconds = 0;                   ///< Of rounds, without evaluation, by this process.
  train::RunLog::Values before, after;  ///< Of the held-out prompts, by reward and judge.
  Prompts prompts;                      ///< Held out, each as often as it has pictures.
  torch::Tensor pictures_before, pictures_after;  ///< [N, 3, H, W] f32 on the CPU, for `prompts`
};

/// Finetunes a generator: rounds of pictures are sampled, judged and learnt from. Leaves in
/// `place.run`: run.cfg, checkpoints/, metrics.jsonl, TensorBoard events, before.png, after.png and
/// pictures/ (the same held-out prompts and draws over the updates), and model/ as the generator
/// saves itself (of the moving average where there is one).
///
/// A run that is killed and resumed ends with the same weights, bit for bit, as one that was not;
/// it goes on from the end of the last saved round.
///
/// @throws ConfigError if the objective is not defined for this generator or reward, saying why; or
///         if a resumed run differs, naming in what
/// @throws NonFiniteError if a reward or gradient is not finite; no checkpoint holds what came
/// after
FinetuneResult finetune(const FinetuneOptions& options, ObjectiveSettings& settings,
                        const FinetuneParts& parts, const FinetunePlace& place);

/// Pictures of the held-out prompts as `options` says, side by side per prompt, in the order of
/// `prompts`: [P * pictures, 3, H, W] on the CPU.
torch::Tensor follow_pictures(Generator& generator, const Prompts& prompts,
                              const FollowOptions& options, std::uint64_t seed);

}  // namespace rahf::rl
