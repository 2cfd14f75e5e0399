#include "rahf/generators/autoencoder/autoencoder_kl.h"

#include <string>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"
#include "rahf/generators/part_folder.h"

namespace rahf::generators {

using torch::Tensor;

void AutoencoderKLOptions::validate(std::string_view name) const {
  coder.validate(name);
  if (!(scaling_factor > 0)) {
    throw ConfigError(std::string(name) + ": scaling_factor must be > 0, got " +
                      option_text::write(scaling_factor));
  }
}

Tensor Posterior::sample(const Tensor& noise) const {
  return mean + torch::exp(0.5 * log_variance) * noise;
}

Tensor Posterior::kl() const {
  return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1);
}

AutoencoderKLImpl::AutoencoderKLImpl(AutoencoderKLOptions options) : options_(std::move(options)) {
  options_.validate();
  reset();
}

void AutoencoderKLImpl::reset() {
  const auto channels = options_.coder.latent_channels;
  encoder_ = register_module("encoder", Encoder(options_.coder, 2 * channels));
  decoder_ = register_module("decoder", Decoder(options_.coder));
  if (options_.use_quant_conv) {
    quant_conv_ = register_module("quant_conv", nn::Conv2d(2 * channels, 2 * channels, 1));
  }
  if (options_.use_post_quant_conv) {
    post_quant_conv_ = register_module("post_quant_conv", nn::Conv2d(channels, channels, 1));
  }
}

Posterior AutoencoderKLImpl::encode(const Tensor& images) {
  options_.coder.check_images("AutoencoderKL::encode", images);
  auto moments = encoder_(images);  // [B, 2 C, h, w]
  if (quant_conv_) moments = quant_conv_(moments);
  const auto halves = moments.chunk(2, 1);
  return {.mean = halves[0], .log_variance = halves[1].clamp(-30, 20)};
}

Tensor AutoencoderKLImpl::decode(const Tensor& latents) {
  Shapes("AutoencoderKL::decode")
      .check("latents", latents, {"B", options_.coder.latent_channels, "h", "w"});
  return decoder_(post_quant_conv_ ? post_quant_conv_(latents) : latents);
}

Tensor AutoencoderKLImpl::scaled(const Tensor& latents) const {
  return (latents - options_.shift_factor) * options_.scaling_factor;
}

Tensor AutoencoderKLImpl::unscaled(const Tensor& latents) const {
  return latents / options_.scaling_factor + options_.shift_factor;
}

void AutoencoderKLImpl::set_gradient_checkpointing(bool on) {
  encoder_->set_gradient_checkpointing(on);
  decoder_->set_gradient_checkpointing(on);
}

AutoencoderKLOptions autoencoder_kl_options(const std::filesystem::path& config_json) {
  const nn::ConfigFile config(config_json);
  CoderOptions::check_kind(config);
  config.only("latents_mean", "null");
  config.only("latents_std", "null");
  AutoencoderKLOptions options;
  options.coder.block_out_channels = {64};  // diffusers' defaults, where they differ
  options.coder.layers_per_block = 1;
  config.read_fields(options);
  options.validate(config.name());
  return options;
}

AutoencoderKL load_autoencoder_kl(const std::filesystem::path& folder) {
  const nn::WithoutInitialisation scope;
  AutoencoderKL model(autoencoder_kl_options(folder / "config.json"));
  load_part(*model, folder);
  return model;
}

void save_autoencoder_kl(const AutoencoderKL& model, const std::filesystem::path& folder) {
  auto config = part_config("AutoencoderKL");
  config.set_fields(model->options());
  model->options().coder.write_kind(config);
  save_part(*model, config, folder);
}

}  // namespace rahf::generators
