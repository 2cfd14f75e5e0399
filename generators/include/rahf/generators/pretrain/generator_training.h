#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rahf/core/generator.h"
#include "rahf/core/picture_source.h"
#include "rahf/core/train/loop.h"
#include "rahf/core/train/optimisation.h"
#include "rahf/core/train/run_folder.h"
#include "rahf/generators/pretrain/noise_levels.h"
#include "rahf/generators/pretrain/pretraining_place.h"

namespace rahf::generators {

/// How a generator learns from captioned pictures: encode, corrupt, predict, error.
struct GeneratorTraining {
  std::int64_t updates = 5000;
  std::int64_t batch_size = 16;
  std::int64_t pictures = 20000;
  double caption_dropout = 0.1;
  std::uint64_t seed = 0;
  std::int64_t check_pictures = 64;
  NoiseLevels levels;
  train::LoopOptions loop;
  train::OptimisationOptions optimisation;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("updates", self.updates, "optimiser steps in all; > 0");
    visit("batch_size", self.batch_size, "pictures per update; > 0");
    visit("pictures", self.pictures,
          "pictures to learn from, encoded once and gone over in a new order each time; > 0");
    visit("caption_dropout", self.caption_dropout,
          "share of captions left out, which classifier-free guidance needs; in [0, 1]");
    visit("seed", self.seed, "of every random draw");
    visit("check_pictures", self.check_pictures,
          "pictures, other than those learnt from, for the loss at evaluations; > 0");
    visit("levels", self.levels, "");
    train::LoopOptions::fields(self.loop, visit);
    train::OptimisationOptions::fields(self.optimisation, visit);
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// What is trained.
struct GeneratorInTraining {
  Generator& generator;
  std::vector<OptimisedParameter> also = {};  ///< Beside its trainable(): a text encoder's.
  /// Figures of the generator at evaluations, for the log; empty: none but the loss.
  std::function<train::RunLog::Values(Generator&)> judge = {};
};

/// Trains any generator by its own loss, mean over locations, and leaves in `place.run`: run.cfg,
/// checkpoints/, metrics.jsonl, TensorBoard events, and model/, which Generator::save() writes of
/// the moving average. A run that was stopped and resumed ends with the same weights, bit for bit.
/// @param identity  the run's options and what else makes it what it is, but the pictures
/// @throws ConfigError for bad options, or a run that differs; train::Interrupted after a signal
void train_generator(const GeneratorInTraining& subject, const PictureSource& pictures,
                     const GeneratorTraining& options, train::RunIdentity identity,
                     const PretrainingPlace& place);

}  // namespace rahf::generators
