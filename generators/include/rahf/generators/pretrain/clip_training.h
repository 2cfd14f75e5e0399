#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rahf/core/nn/clip.h"
#include "rahf/core/picture_source.h"
#include "rahf/core/train/loop.h"
#include "rahf/core/train/optimisation.h"
#include "rahf/generators/pretrain/pretraining_place.h"

namespace rahf::generators {

/// A small CLIP model, by contrast between the pictures and the captions of a batch (Radford et al.
/// 2021, arXiv 2103.00020).
struct ClipTraining {
  std::int64_t updates = 1000;
  std::int64_t batch_size = 64;
  std::uint64_t seed = 0;
  std::int64_t text_length = 24;
  std::int64_t vocabulary_pictures = 2000;
  std::int64_t check_pictures = 256;
  double largest_logit_scale = 100;
  train::LoopOptions loop;
  train::OptimisationOptions optimisation;
  nn::ClipOptions model;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("updates", self.updates, "optimiser steps in all; > 0");
    visit("batch_size", self.batch_size, "pictures per update; > 1");
    visit("seed", self.seed, "of every random draw");
    visit("text_length", self.text_length, "tokens of a padded text, both ends included; > 2");
    visit("vocabulary_pictures", self.vocabulary_pictures,
          "pictures whose captions' words become tokens; > 0");
    visit("check_pictures", self.check_pictures,
          "pictures, other than those learnt from, that evaluations find captions for; > 1");
    visit("largest_logit_scale", self.largest_logit_scale, "the logits' scale stays below; > 1");
    train::LoopOptions::fields(self.loop, visit);
    train::OptimisationOptions::fields(self.optimisation, visit);
    visit("model", self.model, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Cross-entropy of finding each picture's caption among those of the batch, and each caption's
/// picture, halved. Equal captions are not told apart: the target is spread over them evenly.
/// @param logits    [B, B] f32, pictures by captions
/// @param captions  B
/// @return          [] f32, mean over B
torch::Tensor contrast_loss(const torch::Tensor& logits, const std::vector<std::string>& captions);

/// Share of pictures whose likeliest caption is their own, or equal to it.
double found_share(const torch::Tensor& logits, const std::vector<std::string>& captions);

/// Trains on pictures 0, 1, 2, ... of the source, each once, and leaves in `place.run`: run.cfg,
/// checkpoints/, metrics.jsonl, TensorBoard events, and model/, which Hugging Face loads as a
/// CLIPModel with its tokenizer. Words of captions are one token each. The model's vocab_size,
/// max_position_embeddings, eos_token_id and image_size are taken from the captions and pictures.
/// A run that was stopped and resumed ends with the same weights, bit for bit.
/// @throws ConfigError for bad options, or a run that differs; train::Interrupted after a signal
void train_clip(const ClipTraining& options, const PictureSource& pictures,
                const PretrainingPlace& place);

}  // namespace rahf::generators
