#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/nn/group_norm.h"
#include "rahf/core/nn/layers.h"
#include "rahf/core/options.h"

namespace rahf::generators {

/// Fields are named as in diffusers' config.json; the defaults are Stable Diffusion 1.5's.
struct UNetOptions {
  std::vector<std::int64_t> sample_size = {64};  ///< Side, or height and width, of the latents that
                                                 ///< it was trained on; others work, too.
  std::int64_t in_channels = 4;                  ///< 9 in an inpainting model; > 0.
  std::int64_t out_channels = 4;                 ///< > 0
  bool center_input_sample = false;              ///< Take 2 x - 1 for x.
  bool flip_sin_to_cos = true;                   ///< Cosines before sines in the time embedding.
  std::int64_t freq_shift = 0;                   ///< Taken off the number of its frequencies.
  /// CrossAttnDownBlock2D or DownBlock2D per level, from the full size down.
  std::vector<std::string> down_block_types = {"CrossAttnDownBlock2D", "CrossAttnDownBlock2D",
                                               "CrossAttnDownBlock2D", "DownBlock2D"};
  /// CrossAttnUpBlock2D or UpBlock2D per level, from the smallest size up.
  std::vector<std::string> up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D",
                                             "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"};
  std::vector<std::int64_t> block_out_channels = {320, 640, 1280,
                                                  1280};  ///< Per level from the
                                                          ///< full size down; multiples of
                                                          ///< norm_num_groups, the first even.
  std::int64_t layers_per_block = 2;  ///< Residual blocks per level (one more on the way up); > 0.
  double dropout = 0;                 ///< In [0, 1).
  std::int64_t norm_num_groups = 32;  ///< > 0
  double norm_eps = 1e-5;             ///< Of the residual blocks; > 0.
  std::int64_t cross_attention_dim = 768;  ///< D, channels of text states; > 0.
  std::vector<std::int64_t> transformer_layers_per_block = {1};  ///< For all levels, or per level.
  std::vector<std::int64_t> attention_head_dim = {
      8};                              ///< The number of heads, whatever the name
                                       ///< says, for all levels or per level; divides its channels.
  bool use_linear_projection = false;  ///< Around transformers: linear layers, or convolutions.
  bool upcast_attention = false;       ///< Attention in f32 whatever the element type.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("sample_size", self.sample_size, "side, or height and width, of the usual latents");
    visit("in_channels", self.in_channels, "channels of its input, 9 for inpainting; > 0");
    visit("out_channels", self.out_channels, "channels of its prediction; > 0");
    visit("center_input_sample", self.center_input_sample, "take 2 x - 1 for x");
    visit("flip_sin_to_cos", self.flip_sin_to_cos, "cosines before sines in the time embedding");
    visit("freq_shift", self.freq_shift, "taken off the number of the embedding's frequencies");
    visit("down_block_types", self.down_block_types,
          "CrossAttnDownBlock2D or DownBlock2D per level, from the full size down");
    visit("up_block_types", self.up_block_types,
          "CrossAttnUpBlock2D or UpBlock2D per level, from the smallest size up");
    visit("block_out_channels", self.block_out_channels,
          "channels per level from the full size down; multiples of norm_num_groups");
    visit("layers_per_block", self.layers_per_block, "residual blocks per level; > 0");
    visit("dropout", self.dropout, "share dropped in training; in [0, 1)");
    visit("norm_num_groups", self.norm_num_groups, "groups of the norms; > 0");
    visit("norm_eps", self.norm_eps, "added to the variance in residual blocks; > 0");
    visit("cross_attention_dim", self.cross_attention_dim, "channels of text states; > 0");
    visit("transformer_layers_per_block", self.transformer_layers_per_block,
          "transformer layers behind a residual block, for all levels or per level; > 0");
    visit("attention_head_dim", self.attention_head_dim,
          "number of attention heads, for all levels or per level; divides the channels");
    visit("use_linear_projection", self.use_linear_projection,
          "linear layers in the place of 1 x 1 convolutions around transformers");
    visit("upcast_attention", self.upcast_attention, "attention in f32 whatever the element type");
  }
  /// @throws ConfigError naming the field after `name`.
  void validate(std::string_view name = "UNetOptions") const;
};

/// The denoiser of Stable Diffusion 1.5 and 2.1 (Rombach et al. 2022, arXiv 2112.10752), what
/// diffusers' UNet2DConditionModel computes, with the same parameter names.
///
/// Random in training only where dropout > 0. Works in the channels-last format inside.
class UNet2DConditionModelImpl : public torch::nn::Cloneable<UNet2DConditionModelImpl> {
 public:
  explicit UNet2DConditionModelImpl(UNetOptions options = {});
  void reset() override;

  /// @param sample    [B, in_channels, h, w], h and w of any size that leaves a pixel at the lowest
  ///                  level
  /// @param timestep  [B] i64 or f32  in [0, 1000), as a rule
  /// @param states    [B, L, D] of the prompt's tokens
  /// @return          [B, out_channels, h, w], in the element type of sample: noise, velocity or
  ///                  what else it was trained to predict
  torch::Tensor forward(const torch::Tensor& sample, const torch::Tensor& timestep,
                        const torch::Tensor& states);

  /// Keep only the inputs of each residual and each transformer block for the backward pass and
  /// compute the rest again there.
  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }
  const UNetOptions& options() const { return options_; }

 private:
  struct TimeEmbeddingImpl;

  UNetOptions options_;
  bool checkpointing_ = false;
  nn::Conv2d conv_in_{nullptr}, conv_out_{nullptr};
  std::shared_ptr<TimeEmbeddingImpl> time_embedding_;
  torch::nn::ModuleList down_blocks_{nullptr}, up_blocks_{nullptr};
  std::shared_ptr<torch::nn::Module> mid_block_;
  nn::GroupNorm conv_norm_out_{nullptr};
};
TORCH_MODULE(UNet2DConditionModel);

/// From config.json. @throws FileError, ConfigError naming file and key.
UNetOptions unet_options(const std::filesystem::path& config_json);
/// The model of a folder, f32 on the CPU.
UNet2DConditionModel load_unet(const std::filesystem::path& folder);
/// Writes a folder that diffusers loads.
void save_unet(const UNet2DConditionModel& model, const std::filesystem::path& folder);

}  // namespace rahf::generators
