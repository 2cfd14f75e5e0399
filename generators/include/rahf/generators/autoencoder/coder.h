#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "rahf/core/io/json_object.h"
#include "rahf/core/nn/config_file.h"
#include "rahf/core/nn/group_norm.h"
#include "rahf/core/nn/layers.h"

namespace rahf::generators {

/// The convolutional encoder and decoder that AutoencoderKL and VQModel share. Fields are named as
/// in diffusers' config.json.
struct CoderOptions {
  std::int64_t in_channels = 3;      ///< Of pictures; > 0.
  std::int64_t out_channels = 3;     ///< Of decoded pictures; > 0.
  std::int64_t latent_channels = 4;  ///< > 0
  std::vector<std::int64_t> block_out_channels = {128, 256, 512,
                                                  512};  ///< Per level, from the
                                                         ///< picture's size down, each half the one
                                                         ///< before; multiples of norm_num_groups.
  std::int64_t layers_per_block = 2;    ///< Residual blocks per level (the decoder has one more).
  std::int64_t norm_num_groups = 32;    ///< > 0
  bool mid_block_add_attention = true;  ///< Single-head self-attention at the lowest level.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("in_channels", self.in_channels, "channels of pictures; > 0");
    visit("out_channels", self.out_channels, "channels of decoded pictures; > 0");
    visit("latent_channels", self.latent_channels, "channels of latents; > 0");
    visit("block_out_channels", self.block_out_channels,
          "channels per level, each half the size of the one before; multiples of norm_num_groups");
    visit("layers_per_block", self.layers_per_block, "residual blocks per level; > 0");
    visit("norm_num_groups", self.norm_num_groups, "groups of the norms; > 0");
    visit("mid_block_add_attention", self.mid_block_add_attention,
          "self-attention at the lowest level");
  }
  /// Pixels of a picture along one side of a latent: 2 to the power of the levels less one.
  std::int64_t factor() const { return std::int64_t{1} << (block_out_channels.size() - 1); }
  /// @throws ConfigError naming the field after `name`.
  void validate(std::string_view name) const;

  /// @throws ShapeError unless images are [B, in_channels, H, W], H and W multiples of factor().
  void check_images(std::string_view where, const torch::Tensor& images) const;

  /// Insists on the block types and activations that are computed here.
  /// @throws ConfigError naming the key.
  static void check_kind(const nn::ConfigFile& config);
  /// Writes the keys that say the same, for diffusers.
  void write_kind(io::JsonObject& config) const;
};

/// Self-attention between pixels, with a residual path: x + out(attention(group_norm(x))).
class PixelAttentionImpl : public torch::nn::Cloneable<PixelAttentionImpl> {
 public:
  PixelAttentionImpl(std::int64_t channels, std::int64_t norm_groups)
      : channels_(channels), norm_groups_(norm_groups) {
    reset();
  }
  void reset() override;
  /// @param x  [B, C, h, w]  @return the same shape
  torch::Tensor forward(const torch::Tensor& x);

 private:
  std::int64_t channels_, norm_groups_;
  nn::GroupNorm group_norm_{nullptr};
  nn::Linear to_q_{nullptr}, to_k_{nullptr}, to_v_{nullptr};
  torch::nn::ModuleList to_out_{nullptr};
};
TORCH_MODULE(PixelAttention);

class EncoderImpl : public torch::nn::Cloneable<EncoderImpl> {
 public:
  /// @param out_channels  of what forward() returns
  EncoderImpl(const CoderOptions& options, std::int64_t out_channels)
      : options_(options), out_channels_(out_channels) {
    reset();
  }
  void reset() override;
  /// @param images  [B, in_channels, H, W], H and W multiples of factor()
  /// @return        [B, out_channels, H / factor, W / factor]
  torch::Tensor forward(const torch::Tensor& images);
  /// Keep only each level's input for the backward pass.
  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }

 private:
  CoderOptions options_;
  std::int64_t out_channels_;
  bool checkpointing_ = false;
  nn::Conv2d conv_in_{nullptr}, conv_out_{nullptr};
  torch::nn::ModuleList down_blocks_{nullptr};
  std::shared_ptr<torch::nn::Module> mid_block_;
  nn::GroupNorm conv_norm_out_{nullptr};
};
TORCH_MODULE(Encoder);

class DecoderImpl : public torch::nn::Cloneable<DecoderImpl> {
 public:
  explicit DecoderImpl(const CoderOptions& options) : options_(options) { reset(); }
  void reset() override;
  /// @param latents  [B, latent_channels, h, w]  @return [B, out_channels, h factor, w factor]
  torch::Tensor forward(const torch::Tensor& latents);
  /// Keep only each level's input for the backward pass.
  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }

 private:
  CoderOptions options_;
  bool checkpointing_ = false;
  nn::Conv2d conv_in_{nullptr}, conv_out_{nullptr};
  torch::nn::ModuleList up_blocks_{nullptr};
  std::shared_ptr<torch::nn::Module> mid_block_;
  nn::GroupNorm conv_norm_out_{nullptr};
};
TORCH_MODULE(Decoder);

}  // namespace rahf::generators
