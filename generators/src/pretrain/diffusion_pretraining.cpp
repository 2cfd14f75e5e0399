#include "rahf/generators/pretrain/diffusion_pretraining.h"

#include <torch/utils.h>

#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/random.h"
#include "rahf/generators/autoencoder/vq_model.h"
#include "rahf/generators/diffusion/latent_diffusion.h"
#include "rahf/generators/pipeline_folder.h"
#include "rahf/generators/pretrain/text_start.h"

namespace rahf::generators {

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
  auto autoencoder = load_vq_model(options.autoencoder);
  autoencoder->to(place.device);
  autoencoder->eval();
  const auto scale = autoencoder->options().scaling_factor;
  const auto factor = autoencoder->options().coder.factor();

  torch::manual_seed(Randomness(options.base.seed).key("weights", 0));
  UNet2DConditionModel unet(options.unet);
  unet->to(place.device);
  const auto text = start_text(options.text, options.words, nn::ClipHead::kNone, TextLayer::kLast,
                               place.device);

  LatentDiffusionParts parts;
  parts.network = unet.ptr();
  parts.denoise = [unet](const auto& state, const auto& timesteps, const auto& states) mutable {
    return unet->forward(state, timesteps, states);
  };
  parts.encode = [autoencoder, scale](const torch::Tensor& images) mutable {
    const torch::NoGradGuard no_grad;
    return autoencoder->encode(images) * scale;
  };
  parts.decode = [autoencoder, scale](const torch::Tensor& latents) mutable {
    return autoencoder->decode(latents / scale);
  };
  parts.text = [text](const Prompts& prompts) { return text->encode(prompts).states; };
  parts.trainable = [unet, text] {
    auto all = all_parameters(*unet, "unet.");
    for (auto& one : all_parameters(*text->encoder(), "text_encoder.")) {
      all.push_back(std::move(one));
    }
    return all;
  };
  parts.save = [unet, text, autoencoder, &options](const std::filesystem::path& folder) {
    write_model_index(folder, "StableDiffusionPipeline",
                      {{"vae", "diffusers", "VQModel"},
                       {"text_encoder", "transformers", "CLIPTextModel"},
                       {"tokenizer", "transformers", "CLIPTokenizer"},
                       {"unet", "diffusers", "UNet2DConditionModel"},
                       {"scheduler", "diffusers", "DDIMScheduler"}});
    save_unet(unet, folder / "unet");
    save_vq_model(autoencoder, folder / "vae");
    text->save(folder);
    write_scheduler_config(folder / "scheduler" / "scheduler_config.json", options.scheduler);
  };
  const auto side = pictures.side() / factor;
  LatentDiffusion generator(std::move(parts),
                            {.scheduler = options.scheduler,
                             .grid = {.height = side, .width = side},
                             .channels = autoencoder->options().code_channels(),
                             .factor = factor},
                            place.device);
  train_generator({.generator = generator, .judge = judge}, pictures, options.base,
                  train::run_identity(options, train::LoopOptions::free(), {}), place);
}

}  // namespace rahf::generators
