#pragma once

#include <string>
#include <vector>

#include "rahf/core/nn/clip_text.h"
#include "rahf/generators/muse/uvit2d.h"
#include "rahf/generators/pretrain/generator_training.h"

namespace rahf::generators {

/// A Muse from nothing, but for its autoencoder.
struct MusePretraining {
  GeneratorTraining base;
  std::string autoencoder;
  std::vector<std::string> words;
  UVit2DOptions network;
  nn::ClipTextOptions text;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    GeneratorTraining::fields(self.base, visit);
    visit("autoencoder", self.autoencoder, "folder of a VQModel, whose tokens are learnt");
    visit("words", self.words, "the text encoder's tokens, besides spelling; separated by commas");
    visit("network", self.network, "");
    visit("text", self.text, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Leaves a pipeline folder in RUN/model; see train_generator().
/// @param judge  see GeneratorInTraining
void train_muse(const MusePretraining& options, const PictureSource& pictures,
                const PretrainingPlace& place,
                const std::function<train::RunLog::Values(Generator&)>& judge = {});

}  // namespace rahf::generators
