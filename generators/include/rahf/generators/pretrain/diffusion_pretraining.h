#pragma once

#include <string>
#include <vector>

#include "rahf/core/nn/clip_text.h"
#include "rahf/generators/diffusion/unet.h"
#include "rahf/generators/pretrain/generator_training.h"
#include "rahf/generators/schedulers/scheduler_options.h"

namespace rahf::generators {

/// A latent diffusion model from nothing, but for its autoencoder.
struct DiffusionPretraining {
  GeneratorTraining base;
  std::string autoencoder;
  std::vector<std::string> words;
  UNetOptions unet;
  nn::ClipTextOptions text;
  SchedulerOptions scheduler;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    GeneratorTraining::fields(self.base, visit);
    visit("autoencoder", self.autoencoder,
          "folder of a VQModel or an AutoencoderKL, whose latents are learnt");
    visit("words", self.words, "the text encoder's tokens, besides spelling; separated by commas");
    visit("unet", self.unet, "");
    visit("text", self.text, "");
    visit("scheduler", self.scheduler, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Leaves a pipeline folder in RUN/model; see train_generator().
/// @param judge  see GeneratorInTraining
void train_diffusion(const DiffusionPretraining& options, const PictureSource& pictures,
                     const PretrainingPlace& place,
                     const std::function<train::RunLog::Values(Generator&)>& judge = {});

}  // namespace rahf::generators
