#pragma once

#include <cstdint>

#include "rahf/core/picture_source.h"
#include "rahf/core/train/loop.h"
#include "rahf/core/train/optimisation.h"
#include "rahf/generators/autoencoder/autoencoder_kl.h"
#include "rahf/generators/autoencoder/vq_model.h"
#include "rahf/generators/pretrain/ema_codebook.h"
#include "rahf/generators/pretrain/pretraining_place.h"

namespace rahf::generators {

/// What both kinds of autoencoders are trained with. With e the difference between a picture and
/// its reconstruction, over pixels and channels:
///
///     reconstruction = mean |e| + squared_weight mean e^2
struct AutoencoderTraining {
  std::int64_t updates = 5000;
  std::int64_t batch_size = 16;
  std::uint64_t seed = 0;
  double squared_weight = 5;
  std::int64_t check_pictures = 64;
  train::LoopOptions loop;
  train::OptimisationOptions optimisation;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("updates", self.updates, "optimiser steps in all; > 0");
    visit("batch_size", self.batch_size, "pictures per update; > 0");
    visit("seed", self.seed, "of every random draw");
    visit("squared_weight", self.squared_weight,
          "weight of squared differences of pixels beside absolute ones; >= 0");
    visit("check_pictures", self.check_pictures,
          "pictures, other than those learnt from, that evaluations reconstruct; > 0");
    train::LoopOptions::fields(self.loop, visit);
    train::OptimisationOptions::fields(self.optimisation, visit);
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// A VQModel with codes by moving averages. It learns first without codes, so that these start
/// among latents that mean something; latents are drawn to their codes by
/// commitment_weight mean (z - sg[e])^2.
struct VqTraining {
  AutoencoderTraining base;
  double commitment_weight = 0.25;
  double continuous_share = 0.35;
  std::int64_t start_batches = 8;
  EmaCodebookOptions codes;
  VQModelOptions model;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    AutoencoderTraining::fields(self.base, visit);
    visit("commitment_weight", self.commitment_weight,
          "weight of the latents' squared distance from their codes; >= 0");
    visit("continuous_share", self.continuous_share,
          "share of the updates, at the start, without codes; in [0, 1)");
    visit("start_batches", self.start_batches, "batches whose latents start the codes; > 0");
    visit("codes", self.codes, "");
    visit("model", self.model, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// An AutoencoderKL, by reconstruction plus kl_weight times the posterior's divergence from the
/// standard normal distribution (mean over latents' locations).
struct VaeTraining {
  AutoencoderTraining base;
  double kl_weight = 1e-4;
  AutoencoderKLOptions model;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    AutoencoderTraining::fields(self.base, visit);
    visit("kl_weight", self.kl_weight, "weight of the posterior's divergence; >= 0");
    visit("model", self.model, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Trains on pictures 0, 1, 2, ... of the source, each once, and leaves in `place.run`: run.cfg,
/// checkpoints/, metrics.jsonl, TensorBoard events, and model/, a folder that diffusers loads. A
/// run that was stopped and resumed ends with the same weights, bit for bit.
///
/// Latents of the model are centred in the end, and have standard deviation 1 over pictures as they
/// are (VQ) or as diffusion sees them (VAE): what a latent diffusion model wants to learn from. The
/// codes that a picture is given do not change by it.
/// @throws ConfigError for bad options, or a run that differs; train::Interrupted after a signal
void train_vq(const VqTraining& options, const PictureSource& pictures,
              const PretrainingPlace& place);
void train_vae(const VaeTraining& options, const PictureSource& pictures,
               const PretrainingPlace& place);

/// Moves the latents of a VQModel by -`mean` and divides them by `deviation`, within its weights:
/// pictures keep their codes and their reconstructions.
/// @param mean  [E]
void normalise_latents(VQModel& model, const torch::Tensor& mean, double deviation);

}  // namespace rahf::generators
