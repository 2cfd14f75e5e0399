#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rahf/core/options.h"
#include "rahf/core/train/loop.h"
#include "rahf/core/train/optimisation.h"
#include "rahf/reward/data/augment.h"
#include "rahf/reward/data/dataset.h"
#include "rahf/reward/model/rahf.h"
#include "rahf/reward/train/rahf_loss.h"

namespace rahf::reward {

enum class PictureChoice {
  kAll,
  kPhrases,  ///< Those that show all of their prompt, which holds one of loss.caption.phrases.
};

/// How RAHF learns: what a stage of its training may change.
struct LearningOptions {
  std::int64_t updates = 20000;
  PictureChoice pictures = PictureChoice::kAll;
  double query_lr_scale = 1;
  double position_bias_lr_scale = 1;
  RahfLossOptions loss;
  train::OptimisationOptions optimisation{.schedule = {.learning_rate = 0.015,
                                                       .warmup = 2000,
                                                       .decay = train::Decay::kInverseSquareRoot}};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("updates", self.updates, "optimiser steps; of all of them without stages; > 0");
    visit("pictures", self.pictures,
          "what to learn from: all, or those that show all of a prompt with one of "
          "loss.caption.phrases");
    visit("query_lr_scale", self.query_lr_scale,
          "learning rate of T5's queries over that of the rest; T5 does not divide attention by "
          "sqrt(d_kv), so that Adam's steps on queries weigh sqrt(d_kv) times as much; >= 0");
    visit("position_bias_lr_scale", self.position_bias_lr_scale,
          "learning rate of T5's relative position biases over that of the rest; >= 0");
    visit("loss", self.loss, "");
    train::OptimisationOptions::fields(self.optimisation, visit);
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// How RAHF is trained. The defaults follow the paper where it says something.
struct TrainOptions {
  std::int64_t batch_size = 256;
  std::int64_t micro_batches = 1;
  std::int64_t parallel = 1;
  std::uint64_t seed = 0;
  std::string split = "train";
  std::string tokenizer;
  std::string init;
  std::string init_vit;
  std::string init_t5;
  bool bf16 = false;
  bool gradient_checkpointing = false;
  std::int64_t loader_threads = 1;
  std::int64_t check_batches = 10;
  bool half = false;
  train::LoopOptions loop;
  RahfOptions model;
  AugmentOptions augment;
  LearningOptions learning;
  std::vector<Overrides<LearningOptions>> stages;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("batch_size", self.batch_size, "pictures per update; > 0, a multiple of micro_batches");
    visit("micro_batches", self.micro_batches,
          "parts of a batch whose gradients are added up, to save memory; changes nothing but "
          "rounding; > 0");
    visit("parallel", self.parallel,
          "on a CPU: micro-batches computed at once, a thread each; changes nothing; > 0");
    visit("seed", self.seed, "of every random draw");
    visit("split", self.split, "part of the data to learn from: train, dev, test or all");
    visit("tokenizer", self.tokenizer,
          "folder with spiece.model or vocabulary.txt; none makes a vocabulary of the prompts' "
          "words");
    visit("init", self.init, "model folder to start from; its model.* options then hold");
    visit("init_vit", self.init_vit, "Hugging Face folder whose ViT weights to start from");
    visit("init_t5", self.init_t5, "Hugging Face folder whose T5 weights to start from");
    visit("bf16", self.bf16, "autocast to bfloat16");
    visit("gradient_checkpointing", self.gradient_checkpointing,
          "compute activations again in the backward pass: less memory, same gradients");
    visit("loader_threads", self.loader_threads, "threads that prepare batches; > 0");
    visit("check_batches", self.check_batches, "batches of the dev split per evaluation; > 0");
    visit("half", self.half, "write the final model in half precision");
    train::LoopOptions::fields(self.loop, visit);
    visit("model", self.model, "");
    visit("augment", self.augment, "");
    LearningOptions::fields(self.learning, visit);
    visit("stage", self.stages, "");
  }
  /// @throws ConfigError naming the field, and the stage it stands in.
  void validate() const;

  /// The stages, one after the other: each is `learning` with what it changes. One that is
  /// `learning` itself if none is given.
  std::vector<LearningOptions> courses() const;
};

struct TrainPlace {
  std::filesystem::path run;  ///< The run's folder.
  bool resume = false;        ///< Go on from the newest checkpoint, if there is one.
  torch::Device device = torch::kCPU;
  std::map<std::string, std::string> note;  ///< For the final model's metadata.
};

/// Trains RAHF and leaves in `place.run`: what a RunFolder holds, and model/, the final model
/// folder (of the moving average where there is one).
///
/// Each stage begins with the weights that the one before it ended with (their moving average where
/// it has one), fresh moments and its own schedule; its checkpoints go on counting.
///
/// A run that was killed and resumed ends with the same weights, bit for bit, as one that was not;
/// so does one with another `parallel` or `loader_threads`. On a CPU, that is, with the same data,
/// LibTorch and threads inside an operation, which the run records and a resume requires.
///
/// @throws ConfigError if the run to be resumed differs, or the folder holds a run and `resume` is
///         off
/// @throws NonFiniteError if the loss or a gradient is not finite; the weights are then those
///         before it, and no checkpoint holds it
/// @throws train::Interrupted when a signal came; all is saved
void train_rahf(const TrainOptions& options, const Dataset& dataset, const TrainPlace& place);

}  // namespace rahf::reward

template <>
struct rahf::EnumNames<rahf::reward::PictureChoice> {
  static constexpr std::array<std::pair<rahf::reward::PictureChoice, std::string_view>, 2> value = {
      {{rahf::reward::PictureChoice::kAll, "all"},
       {rahf::reward::PictureChoice::kPhrases, "phrases"}}};
};
