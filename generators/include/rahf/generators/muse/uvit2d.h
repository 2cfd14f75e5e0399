#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "rahf/core/nn/parity.h"
#include "rahf/core/options.h"

namespace rahf::generators {

/// Named as the keys of the network's config.json. The defaults are aMUSEd's at 256 pixels; at 512
/// `downsample` and `upsample` are true and `sample_size` is 32.
struct UVit2DOptions {
  std::int64_t hidden_size = 1024;         ///< D of the transformer; a multiple of its heads.
  std::int64_t num_hidden_layers = 22;     ///< >= 0
  std::int64_t num_attention_heads = 16;   ///< > 0
  std::int64_t intermediate_size = 2816;   ///< Width of the feed-forward layers; > 0.
  std::int64_t in_channels = 768;          ///< Channels next to the tokens; > 0.
  std::int64_t block_out_channels = 768;   ///< C of the blocks; a multiple of block_num_heads.
  std::int64_t num_res_blocks = 3;         ///< Per block; > 0.
  std::int64_t block_num_heads = 12;       ///< > 0
  bool downsample = false;                 ///< The transformer works on half the grid.
  bool upsample = false;                   ///< The way back from that.
  std::int64_t vocab_size = 8256;          ///< Codes, padding, and the mask token as the last.
  std::int64_t codebook_size = 8192;       ///< V, codes that can be predicted; < vocab_size.
  std::int64_t encoder_hidden_size = 768;  ///< Width of the text's states; > 0.
  std::int64_t cond_embed_dim = 768;       ///< Width of the pooled text; > 0.
  std::int64_t micro_cond_encode_dim =
      256;  ///< Width of one micro-condition's encoding; even, > 0.
  std::int64_t micro_cond_embed_dim = 1280;  ///< Of all together; a multiple of one's.
  std::int64_t sample_size = 16;             ///< Side of the token grid it was trained on; > 0.
  bool use_bias = false;                     ///< Of every linear and convolution.
  double layer_norm_eps = 1e-6;              ///< > 0

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("hidden_size", self.hidden_size, "channels of the transformer; a multiple of its heads");
    visit("num_hidden_layers", self.num_hidden_layers, "layers of the transformer; >= 0");
    visit("num_attention_heads", self.num_attention_heads, "heads of the transformer; > 0");
    visit("intermediate_size", self.intermediate_size, "width of the feed-forward layers; > 0");
    visit("in_channels", self.in_channels, "channels next to the tokens; > 0");
    visit("block_out_channels", self.block_out_channels,
          "channels of the convolutional blocks; a multiple of block_num_heads");
    visit("num_res_blocks", self.num_res_blocks, "pairs of layers in a block; > 0");
    visit("block_num_heads", self.block_num_heads, "attention heads of the blocks; > 0");
    visit("downsample", self.downsample, "the transformer works on half the grid");
    visit("upsample", self.upsample, "the way back from half the grid");
    visit("vocab_size", self.vocab_size, "codes, padding, and the mask token as the last");
    visit("codebook_size", self.codebook_size, "codes that can be predicted; < vocab_size");
    visit("encoder_hidden_size", self.encoder_hidden_size, "width of the text's states; > 0");
    visit("cond_embed_dim", self.cond_embed_dim, "width of the pooled text; > 0");
    visit("micro_cond_encode_dim", self.micro_cond_encode_dim,
          "width of one micro-condition's encoding; even, > 0");
    visit("micro_cond_embed_dim", self.micro_cond_embed_dim,
          "width of all micro-conditions; a multiple of one's");
    visit("sample_size", self.sample_size, "side of the token grid it was trained on; > 0");
    visit("use_bias", self.use_bias, "every linear and convolution has a bias");
    visit("layer_norm_eps", self.layer_norm_eps, "added to the mean square; > 0");
  }
  /// What stands for a token that is not known yet.
  std::int64_t mask_token() const { return vocab_size - 1; }
  /// Numbers per picture: width and height in pixels, top and left of the crop, aesthetic score.
  std::int64_t micro_conditions() const { return micro_cond_embed_dim / micro_cond_encode_dim; }
  /// @throws ConfigError naming the field after `name`.
  void validate(std::string_view name = "UVit2DOptions") const;
};

/// From a network's config.json. @throws ConfigError, FileError as nn::ConfigFile does, and for
/// what is not computed here (dropout, norms without weights).
UVit2DOptions uvit2d_options(const std::filesystem::path& config_json);

/// What the text and the micro-conditions contribute at each place of the network. It depends on no
/// token, so a sampler computes it once for all its steps.
struct UVit2DCondition {
  std::vector<torch::Tensor> given;  ///< Each [B, ...], in the network's own order.

  std::int64_t batch() const { return given.front().size(0); }
  /// The samples `rows` [R] i64, in that order.
  UVit2DCondition select(const torch::Tensor& rows) const;
};

/// The masked-token network of aMUSEd (Patil et al. 2024, arXiv 2401.01808; a small Muse, Chang et
/// al. 2023, arXiv 2301.00704), layer by layer what diffusers' UVit2DModel computes, with the same
/// parameter names:
///
///     x = conv(norm(embed[ids]));  x = down_block(x, cond, context)
///     each layer:  x += self(norm1(x, cond)); x += cross(norm2(x, cond), context);
///                  x += W2 (h gelu(g)), [h, g] = W1 norm3(x, cond)
///     logits = conv2(norm(conv1(up_block(x, cond, context))))
///
/// A block is pairs of a ConvNeXt layer modulated by cond and two attentions to the text; only its
/// 3 x 3 depthwise convolutions tell where a token is.
///
/// reset() draws from torch's default generator; modulations start at zero. Nothing else is random;
/// eval() changes nothing. Forward is thread-safe where nothing else changes the module.
class UVit2DModelImpl : public torch::nn::Cloneable<UVit2DModelImpl> {
 public:
  explicit UVit2DModelImpl(UVit2DOptions options = {});
  void reset() override;

  /// @param states            [B, L, encoder_hidden_size]  the text encoder's last but one
  /// @param pooled            [B, cond_embed_dim]  its projected end
  /// @param micro_conditions  [B, M] f32  M = options().micro_conditions()
  UVit2DCondition condition(const torch::Tensor& states, const torch::Tensor& pooled,
                            const torch::Tensor& micro_conditions);

  /// @param ids  [B, h, w] i64 in [0, vocab_size); with `downsample` h and w are even
  /// @return     [B, V, h, w] logits of the codes
  torch::Tensor forward(const torch::Tensor& ids, const UVit2DCondition& condition);

  /// Keep only the input of each transformer layer for the backward pass and compute the rest again
  /// there.
  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }
  const UVit2DOptions& options() const { return options_; }

 private:
  struct Parts;
  UVit2DOptions options_;
  bool checkpointing_ = false;
  std::shared_ptr<Parts> parts_;
};
TORCH_MODULE(UVit2DModel);

/// The network of a folder, f32 on the CPU.
UVit2DModel load_uvit2d(const std::filesystem::path& folder);
/// Writes a folder that diffusers loads.
void save_uvit2d(const UVit2DModel& model, const std::filesystem::path& folder);

/// A nn::ParityModule: input_ids, encoder_hidden_states, pooled_text_emb, micro_conds -> logits,
/// also under the name that other networks' outputs have, sample.
io::TensorMap uvit_outputs(const std::filesystem::path& folder, const nn::ParityCase& test);

}  // namespace rahf::generators
