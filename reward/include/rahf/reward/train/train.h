#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "rahf/core/options.h"
#include "rahf/core/train/adamw.h"
#include "rahf/core/train/schedule.h"
#include "rahf/reward/data/augment.h"
#include "rahf/reward/data/dataset.h"
#include "rahf/reward/model/rahf.h"
#include "rahf/reward/train/rahf_loss.h"

namespace rahf::reward {

/// How RAHF is trained. The defaults follow the paper where it says something.
struct TrainOptions {
  std::int64_t updates = 20000;
  std::int64_t batch_size = 256;
  std::int64_t micro_batches = 1;
  std::int64_t parallel = 1;
  std::uint64_t seed = 0;
  std::string split = "train";
  std::string tokenizer;
  std::string init;
  std::string init_vit;
  std::string init_t5;
  double query_lr_scale = 1;
  double heatmap_lr_scale = 1;
  double clip_norm = 1;
  double ema = 0;
  bool bf16 = false;
  bool gradient_checkpointing = false;
  std::int64_t loader_threads = 1;
  std::int64_t log_every = 50;
  std::int64_t check_every = 1000;
  std::int64_t check_batches = 10;
  std::int64_t save_every = 1000;
  std::int64_t keep = 2;
  bool half = false;
  RahfOptions model;
  RahfLossOptions loss;
  ScheduleOptions schedule{
      .learning_rate = 0.015, .warmup = 2000, .decay = Decay::kInverseSquareRoot};
  AdamW::Options adamw;
  AugmentOptions augment;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("updates", self.updates, "optimiser steps in all; > 0");
    visit("batch_size", self.batch_size, "pictures per update; > 0, a multiple of micro_batches");
    visit("micro_batches", self.micro_batches,
          "parts of a batch whose gradients are added up, to save memory; > 0");
    visit("parallel", self.parallel,
          "micro-batches computed at once, a thread each; the result does not depend on it; > 0");
    visit("seed", self.seed, "of every random draw");
    visit("split", self.split, "part of the data to learn from: train, dev, test or all");
    visit("tokenizer", self.tokenizer,
          "folder with spiece.model or vocabulary.txt; none makes a vocabulary of the prompts' "
          "words");
    visit("init", self.init, "model folder to start from; its model.* options then hold");
    visit("init_vit", self.init_vit, "Hugging Face folder whose ViT weights to start from");
    visit("init_t5", self.init_t5, "Hugging Face folder whose T5 weights to start from");
    visit("query_lr_scale", self.query_lr_scale,
          "learning rate of T5's queries over that of the rest; T5 does not divide attention by "
          "sqrt(d_kv), so that Adam's steps on queries weigh sqrt(d_kv) times as much; >= 0");
    visit("heatmap_lr_scale", self.heatmap_lr_scale,
          "learning rate of the heatmap heads, whose convolutions are narrow, over that of the "
          "rest; >= 0");
    visit("clip_norm", self.clip_norm,
          "largest joint norm of the gradients; 0 clips nothing; >= 0");
    visit("ema", self.ema,
          "decay of the weights' moving average, which is kept; 0 is none; [0, 1)");
    visit("bf16", self.bf16, "autocast to bfloat16");
    visit("gradient_checkpointing", self.gradient_checkpointing,
          "compute activations again in the backward pass: less memory, same gradients");
    visit("loader_threads", self.loader_threads, "threads that prepare batches; > 0");
    visit("log_every", self.log_every, "updates between lines of metrics.jsonl; > 0");
    visit("check_every", self.check_every, "updates between losses on the dev split; 0 is never");
    visit("check_batches", self.check_batches, "batches of the dev split; > 0");
    visit("save_every", self.save_every, "updates between checkpoints; > 0");
    visit("keep", self.keep, "checkpoints that stay; > 0");
    visit("half", self.half, "write the final model in half precision");
    visit("model", self.model, "");
    visit("loss", self.loss, "");
    visit("schedule", self.schedule, "");
    visit("adamw", self.adamw, "");
    visit("augment", self.augment, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

struct TrainPlace {
  std::filesystem::path run;  ///< The run's folder.
  bool resume = false;        ///< Go on from the newest checkpoint, if there is one.
  torch::Device device = torch::kCPU;
  std::map<std::string, std::string> note;  ///< For the final model's metadata.
};

/// Trains RAHF and leaves in `place.run`: run.cfg (every effective option), checkpoints/,
/// metrics.jsonl, TensorBoard events, and model/, the final model folder (of the moving average
/// where there is one).
///
/// A run that was killed and resumed ends with the same weights, bit for bit, as one that was not;
/// so does one with another `parallel` or `loader_threads`.
///
/// @throws ConfigError if run.cfg of the run to be resumed differs, or the folder holds a run and
///         `resume` is off
/// @throws NonFiniteError if the loss or a gradient is not finite; the weights are then those
/// before
///         it, and no checkpoint holds it
void train_rahf(const TrainOptions& options, const Dataset& dataset, const TrainPlace& place);

}  // namespace rahf::reward
