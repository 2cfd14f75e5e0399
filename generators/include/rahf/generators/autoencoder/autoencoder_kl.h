#pragma once

#include <filesystem>

#include "rahf/generators/autoencoder/coder.h"

namespace rahf::generators {

/// Fields are named as in diffusers' config.json; the defaults are Stable Diffusion 1.5's.
struct AutoencoderKLOptions {
  CoderOptions coder = {};
  bool use_quant_conv = true;       ///< A 1 x 1 convolution behind the encoder.
  bool use_post_quant_conv = true;  ///< A 1 x 1 convolution before the decoder.
  double scaling_factor = 0.18215;  ///< Of latents as diffusion sees them; > 0.
  double shift_factor = 0;          ///< Taken off latents before they are scaled.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    CoderOptions::fields(self.coder, visit);
    visit("use_quant_conv", self.use_quant_conv, "a 1 x 1 convolution behind the encoder");
    visit("use_post_quant_conv", self.use_post_quant_conv,
          "a 1 x 1 convolution before the decoder");
    visit("scaling_factor", self.scaling_factor, "factor on latents as diffusion sees them; > 0");
    visit("shift_factor", self.shift_factor, "taken off latents before they are scaled");
  }
  /// @throws ConfigError naming the field after `name`.
  void validate(std::string_view name = "AutoencoderKLOptions") const;
};

/// A normal distribution with a variance of its own for each number of a latent.
struct Posterior {
  torch::Tensor mean;          ///< [B, C, h, w]
  torch::Tensor log_variance;  ///< [B, C, h, w] in [-30, 20]

  /// @param noise  [B, C, h, w] standard normal  @return [B, C, h, w]
  torch::Tensor sample(const torch::Tensor& noise) const;
  /// Divergence from the standard normal distribution, 1/2 sum over C of
  /// mean^2 + variance - 1 - log_variance.  @return [B, h, w]
  torch::Tensor kl() const;
};

/// Stable Diffusion's autoencoder (Rombach et al. 2022, arXiv 2112.10752), what diffusers'
/// AutoencoderKL computes, with the same parameter names. SD3's is the same with 16 latent channels
/// and without the two 1 x 1 convolutions.
///
/// Nothing is random but the start of the weights.
class AutoencoderKLImpl : public torch::nn::Cloneable<AutoencoderKLImpl> {
 public:
  explicit AutoencoderKLImpl(AutoencoderKLOptions options = {});
  void reset() override;

  /// @param images  [B, in_channels, H, W] in [-1, 1], H and W multiples of coder.factor()
  /// @return        over [B, latent_channels, H / factor, W / factor]
  Posterior encode(const torch::Tensor& images);
  /// @param latents  [B, latent_channels, h, w], not scaled
  /// @return         [B, out_channels, h factor, w factor], about in [-1, 1]
  torch::Tensor decode(const torch::Tensor& latents);

  /// Latents as diffusion sees them, (latents - shift_factor) scaling_factor, and back.
  torch::Tensor scaled(const torch::Tensor& latents) const;
  torch::Tensor unscaled(const torch::Tensor& latents) const;

  /// Keep only each level's input for the backward pass and compute the rest again there.
  void set_gradient_checkpointing(bool on);
  const AutoencoderKLOptions& options() const { return options_; }

 private:
  AutoencoderKLOptions options_;
  Encoder encoder_{nullptr};
  Decoder decoder_{nullptr};
  nn::Conv2d quant_conv_{nullptr}, post_quant_conv_{nullptr};
};
TORCH_MODULE(AutoencoderKL);

/// From config.json. @throws FileError, ConfigError naming file and key.
AutoencoderKLOptions autoencoder_kl_options(const std::filesystem::path& config_json);
/// The model of a folder, f32 on the CPU.
AutoencoderKL load_autoencoder_kl(const std::filesystem::path& folder);
/// Writes a folder that diffusers loads.
void save_autoencoder_kl(const AutoencoderKL& model, const std::filesystem::path& folder);

}  // namespace rahf::generators
