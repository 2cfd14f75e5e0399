#include "rahf/generators/pretrain/diffusion_pretraining.h"

#include <torch/utils.h>

#include <utility>
#include <variant>

#include "rahf/core/error.h"
#include "rahf/core/nn/config_file.h"
#include "rahf/core/random.h"
#include "rahf/generators/diffusion/stable_diffusion.h"
#include "rahf/generators/pretrain/text_start.h"

namespace rahf::generators {

namespace {

std::variant<AutoencoderKL, VQModel> load_autoencoder(const std::filesystem::path& folder) {
  const nn::ConfigFile config(folder / "config.json");
  std::string kind;
  config.require("_class_name", kind);
  if (kind == "AutoencoderKL") return load_autoencoder_kl(folder);
  if (kind == "VQModel") return load_vq_model(folder);
  throw ConfigError(config.name() + ": _class_name must be AutoencoderKL or VQModel, got " + kind);
}

}  // namespace

void DiffusionPretraining::validate() const {
  base.validate();
  unet.validate();
  text.validate();
  scheduler.validate("DiffusionPretraining.scheduler");
  if (unet.cross_attention_dim != text.hidden_size) {
    throw ConfigError("DiffusionPretraining: unet.cross_attention_dim must be text.hidden_size = " +
                      std::to_string(text.hidden_size) + ", got " +
                      std::to_string(unet.cross_attention_dim));
  }
}

void train_diffusion(const DiffusionPretraining& options, const PictureSource& pictures,
                     const PretrainingPlace& place,
                     const std::function<train::RunLog::Values(Generator&)>& judge) {
  options.validate();
  torch::manual_seed(Randomness(options.base.seed).key("weights", 0));
  StableDiffusionParts parts;
  parts.unet = UNet2DConditionModel(options.unet);
  parts.text =
      start_text(options.text, options.words, nn::ClipHead::kNone, TextLayer::kLast, place.device);
  parts.autoencoder = load_autoencoder(options.autoencoder);
  parts.scheduler = options.scheduler;
  parts.train_text = true;
  const auto generator = make_stable_diffusion(std::move(parts), place.device);
  train_generator({.generator = *generator, .judge = judge}, pictures, options.base,
                  train::run_identity(options, train::LoopOptions::free(), {}), place);
}

}  // namespace rahf::generators
