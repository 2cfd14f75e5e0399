#include "rahf/generators/diffusion/stable_diffusion.h"

#include <string>
#include <utility>

#include "rahf/core/error.h"

namespace rahf::generators {
namespace {

void freeze(torch::nn::Module& module) {
  module.eval();
  for (auto& parameter : module.parameters()) parameter.set_requires_grad(false);
}

void save_pipeline(const StableDiffusionParts& parts, const std::filesystem::path& folder,
                   bool inpainting) {
  save_unet(parts.unet, folder / "unet");
  const bool kl = std::holds_alternative<AutoencoderKL>(parts.autoencoder);
  if (kl) {
    save_autoencoder_kl(std::get<AutoencoderKL>(parts.autoencoder), folder / "vae");
  } else {
    save_vq_model(std::get<VQModel>(parts.autoencoder), folder / "vae");
  }
  parts.text->save(folder);
  write_scheduler_config(folder / "scheduler" / "scheduler_config.json", parts.scheduler);
  write_model_index(
      folder, inpainting ? "StableDiffusionInpaintPipeline" : "StableDiffusionPipeline",
      {{.name = "unet", .library = "diffusers", .class_name = "UNet2DConditionModel"},
       {.name = "vae", .library = "diffusers", .class_name = kl ? "AutoencoderKL" : "VQModel"},
       {.name = "text_encoder", .library = "transformers", .class_name = "CLIPTextModel"},
       {.name = "tokenizer", .library = "transformers", .class_name = "CLIPTokenizer"},
       {.name = "scheduler",
        .library = "diffusers",
        .class_name = scheduler_class(parts.scheduler.sampler)},
       {.name = "safety_checker"},
       {.name = "feature_extractor"}});
}

/// Where a picture in [0, 1] becomes latents of about unit variance, and back.
struct Coder {
  std::function<torch::Tensor(const torch::Tensor&)> encode, decode;
  std::int64_t channels = 0, factor = 0;
};

Coder coder_of(const std::variant<AutoencoderKL, VQModel>& autoencoder) {
  if (std::holds_alternative<AutoencoderKL>(autoencoder)) {
    auto kl = std::get<AutoencoderKL>(autoencoder);
    return {.encode =
                [kl](const torch::Tensor& images) mutable {
                  return kl->scaled(kl->encode(images * 2 - 1).mean);
                },
            .decode =
                [kl](const torch::Tensor& latents) mutable {
                  return kl->decode(kl->unscaled(latents)) / 2 + 0.5;
                },
            .channels = kl->options().coder.latent_channels,
            .factor = kl->options().coder.factor()};
  }
  auto vq = std::get<VQModel>(autoencoder);
  const double scale = vq->options().scaling_factor;
  return {
      .encode = [vq,
                 scale](const torch::Tensor& images) mutable { return vq->encode(images) * scale; },
      .decode =
          [vq, scale](const torch::Tensor& latents) mutable { return vq->decode(latents / scale); },
      .channels = vq->options().code_channels(),
      .factor = vq->options().coder.factor()};
}

}  // namespace

std::unique_ptr<LatentDiffusion> make_stable_diffusion(StableDiffusionParts parts,
                                                       torch::Device device, torch::Dtype dtype) {
  const auto coder = coder_of(parts.autoencoder);
  const auto& unet = parts.unet->options();
  const bool inpainting = unet.in_channels == 2 * coder.channels + 1;
  if (unet.out_channels != coder.channels || (unet.in_channels != coder.channels && !inpainting)) {
    throw ConfigError("make_stable_diffusion: unet must read " + std::to_string(coder.channels) +
                      " channels (" + std::to_string(2 * coder.channels + 1) +
                      " to inpaint) and give " + std::to_string(coder.channels) +
                      " as the autoencoder has them, got " + std::to_string(unet.in_channels) +
                      " and " + std::to_string(unet.out_channels));
  }
  parts.unet->to(device, dtype);
  std::visit(
      [&](auto& autoencoder) {
        autoencoder->to(device);
        freeze(*autoencoder);
      },
      parts.autoencoder);
  parts.text->encoder()->to(device);
  if (!parts.train_text) freeze(*parts.text->encoder());

  LatentDiffusionOptions options{
      .scheduler = parts.scheduler,
      .grid = {.height = unet.sample_size.front(), .width = unet.sample_size.back()},
      .channels = coder.channels,
      .factor = coder.factor,
      .inpainting_input = inpainting,
      .dtype = dtype};
  LatentDiffusionParts taken;
  taken.network = parts.unet.ptr();
  taken.denoise = [model = parts.unet](const torch::Tensor& state, const torch::Tensor& timesteps,
                                       const torch::Tensor& text) mutable {
    return model->forward(state, timesteps, text);
  };
  taken.encode = coder.encode;
  taken.decode = coder.decode;
  taken.text = [text = parts.text](const Prompts& prompts) { return text->encode(prompts).states; };
  taken.trainable = [parts] {
    std::vector<OptimisedParameter> all;
    const auto add = [&](const std::string& prefix, const torch::nn::Module& module) {
      for (const auto& one : module.named_parameters()) {
        all.push_back({.name = prefix + one.key(), .value = one.value()});
      }
    };
    add("unet.", *parts.unet);
    if (parts.train_text) add("text_encoder.", *parts.text->encoder());
    return all;
  };
  taken.save = [parts, inpainting](const std::filesystem::path& folder) {
    save_pipeline(parts, folder, inpainting);
  };
  return std::make_unique<LatentDiffusion>(std::move(taken), std::move(options), device);
}

StableDiffusionParts load_stable_diffusion_parts(const PipelineFolder& folder, torch::Device device,
                                                 bool train_text) {
  StableDiffusionParts parts;
  parts.unet = load_unet(folder.part("unet"));
  const auto& kind = folder.part_class("vae");
  if (kind == "AutoencoderKL") {
    parts.autoencoder = load_autoencoder_kl(folder.part("vae"));
  } else if (kind == "VQModel") {
    parts.autoencoder = load_vq_model(folder.part("vae"));
  } else {
    throw ConfigError(folder.path().string() + ": vae must be an AutoencoderKL or a VQModel, got " +
                      kind);
  }
  parts.text = std::make_shared<TextCondition>(TextCondition::load(
      folder.path(), device, {.layer = TextLayer::kLast, .trainable = train_text}));
  parts.scheduler = scheduler_options(folder.part("scheduler") / "scheduler_config.json");
  parts.train_text = train_text;
  return parts;
}

std::unique_ptr<LatentDiffusion> load_stable_diffusion(const PipelineFolder& folder,
                                                       torch::Device device) {
  return make_stable_diffusion(load_stable_diffusion_parts(folder, device), device);
}

}  // namespace rahf::generators
