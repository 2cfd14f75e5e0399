#pragma once

#include <filesystem>

#include "rahf/generators/autoencoder/coder.h"

namespace rahf::generators {

/// Fields are named as in diffusers' config.json; the defaults are aMUSEd's.
struct VQModelOptions {
  CoderOptions coder = {.latent_channels = 64,
                        .block_out_channels = {128, 256, 256, 512, 768},
                        .mid_block_add_attention = false};
  std::int64_t num_vq_embeddings = 8192;  ///< V, codes; > 0.
  std::int64_t vq_embed_dim = 0;          ///< E, channels of a code; >= 0, 0 is latent_channels.
  double scaling_factor = 0.18215;        ///< Of continuous latents as diffusion sees them; > 0.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    CoderOptions::fields(self.coder, visit);
    visit("num_vq_embeddings", self.num_vq_embeddings, "codes; > 0");
    visit("vq_embed_dim", self.vq_embed_dim, "channels of a code; >= 0, 0 is latent_channels");
    visit("scaling_factor", self.scaling_factor,
          "factor on continuous latents as diffusion sees them; > 0");
  }
  /// E
  std::int64_t code_channels() const {
    return vq_embed_dim > 0 ? vq_embed_dim : coder.latent_channels;
  }
  /// @throws ConfigError naming the field after `name`.
  void validate(std::string_view name = "VQModelOptions") const;
};

/// What quantisation makes of continuous latents.
struct Quantised {
  torch::Tensor codes;       ///< [B, E, h, w] the nearest codes; the gradient passes straight to z
  torch::Tensor ids;         ///< [B, h, w] i64
  torch::Tensor commitment;  ///< [B, h, w] mean over E of (sg[e] - z)^2 + 0.25 (e - sg[z])^2, which
                             ///< is diffusers' form: the 0.25 weighs the codes' side
};

/// aMUSEd's autoencoder with a codebook (VQGAN, Esser et al. 2021, arXiv 2012.09841), what
/// diffusers' VQModel computes, with the same parameter names.
///
///     images -encode-> z -nearest-> ids -lookup-> codes -decode-> images
///
/// The codebook is the parameter `quantize.embedding.weight`; it learns from the commitment's
/// gradient, or is moved by whoever trains. Nothing is random but the start of the weights.
class VQModelImpl : public torch::nn::Cloneable<VQModelImpl> {
 public:
  explicit VQModelImpl(VQModelOptions options = {});
  void reset() override;

  /// @param images  [B, in_channels, H, W] in [0, 1], H and W multiples of coder.factor()
  /// @return        z, continuous: [B, E, H / factor, W / factor]
  torch::Tensor encode(const torch::Tensor& images);
  /// The code nearest to each latent, the first of equally near ones, without a gradient.
  /// @param z  [B, E, h, w]  @return [B, h, w] i64 in [0, V)
  torch::Tensor nearest(const torch::Tensor& z) const;
  /// @param ids  [B, h, w] i64 in [0, V)  @return [B, E, h, w]
  torch::Tensor lookup(const torch::Tensor& ids) const;
  Quantised quantise(const torch::Tensor& z) const;
  /// @param codes  [B, E, h, w], of the codebook or continuous
  /// @return       [B, out_channels, h factor, w factor], about in [0, 1]
  torch::Tensor decode(const torch::Tensor& codes);

  /// images -> ids, and ids -> images.
  torch::Tensor encode_ids(const torch::Tensor& images) { return nearest(encode(images)); }
  torch::Tensor decode_ids(const torch::Tensor& ids) { return decode(lookup(ids)); }

  /// [V, E], a parameter.
  const torch::Tensor& codebook() const { return codebook_; }
  /// Keep only each level's input for the backward pass and compute the rest again there.
  void set_gradient_checkpointing(bool on);
  const VQModelOptions& options() const { return options_; }

 private:
  VQModelOptions options_;
  Encoder encoder_{nullptr};
  Decoder decoder_{nullptr};
  nn::Conv2d quant_conv_{nullptr}, post_quant_conv_{nullptr};
  torch::Tensor codebook_;
};
TORCH_MODULE(VQModel);

/// From config.json. @throws FileError, ConfigError naming file and key.
VQModelOptions vq_model_options(const std::filesystem::path& config_json);
/// The model of a folder, f32 on the CPU.
VQModel load_vq_model(const std::filesystem::path& folder);
/// Writes a folder that diffusers loads.
void save_vq_model(const VQModel& model, const std::filesystem::path& folder);

}  // namespace rahf::generators
