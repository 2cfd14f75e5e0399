#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "rahf/core/nn/weights.h"
#include "rahf/core/options.h"

namespace rahf::nn {

/// The defaults are ViT-B/16 at 224 pixels.
struct ViTOptions {
  std::int64_t width = 768;         ///< D, channels of one token; > 0, a multiple of heads.
  std::int64_t layers = 12;         ///< > 0
  std::int64_t heads = 12;          ///< > 0
  std::int64_t hidden = 3072;       ///< Width of the feed-forward layers; > 0.
  std::int64_t image_size = 224;    ///< Pixels; > 0, a multiple of patch_size.
  std::int64_t patch_size = 16;     ///< Pixels; > 0.
  std::int64_t channels = 3;        ///< > 0
  double layer_norm_eps = 1e-12;    ///< > 0
  bool qkv_bias = true;             ///< Queries, keys and values have a bias.
  double initializer_range = 0.02;  ///< Deviation of the weights at the start; > 0.
  double dropout = 0;               ///< After each sub-layer and on attention weights; in [0, 1).
  bool interpolate_positions = false;  ///< Take other picture sizes: positions are resized.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("width", self.width, "channels of one token; > 0, a multiple of heads");
    visit("layers", self.layers, "number of layers; > 0");
    visit("heads", self.heads, "attention heads; > 0");
    visit("hidden", self.hidden, "width of the feed-forward layers; > 0");
    visit("image_size", self.image_size, "pixels; > 0, a multiple of patch_size");
    visit("patch_size", self.patch_size, "pixels; > 0");
    visit("channels", self.channels, "channels of a picture; > 0");
    visit("layer_norm_eps", self.layer_norm_eps, "added to the variance; > 0");
    visit("qkv_bias", self.qkv_bias, "queries, keys and values have a bias");
    visit("initializer_range", self.initializer_range,
          "standard deviation of the weights at the start; > 0");
    visit("dropout", self.dropout, "share dropped in training; in [0, 1)");
    visit("interpolate_positions", self.interpolate_positions,
          "take other picture sizes by resizing the position embeddings");
  }
  /// N, patches of a picture of image_size.
  std::int64_t patches() const { return (image_size / patch_size) * (image_size / patch_size); }
  /// @throws ConfigError naming the field after `name`.
  void validate(std::string_view name = "ViTOptions") const;
};

/// Vision Transformer (Dosovitskiy et al. 2021, arXiv 2010.11929), layer by layer what Hugging
/// Face's ViTModel computes, with the same parameter names, without its pooler.
///
///     tokens = [cls, conv(pixels)] + positions
///     each layer:  x += attention(norm(x));  x += W2 gelu(W1 norm(x))
///
/// reset() draws normals of deviation initializer_range from torch's default generator. Random in
/// training only where dropout > 0.
class ViTImpl : public torch::nn::Cloneable<ViTImpl> {
 public:
  explicit ViTImpl(ViTOptions options = {});
  void reset() override;

  /// @param pixels  [B, C, H, W] f32  normalised, as a rule (x - 0.5) / 0.5: in [-1, 1]
  /// @return        [B, 1 + N, D]  last hidden state: class token first, then patches by rows
  torch::Tensor forward(const torch::Tensor& pixels);

  /// Keep only each layer's input for the backward pass and compute the rest again there.
  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }
  const ViTOptions& options() const { return options_; }

 private:
  struct EmbeddingsImpl;
  struct EncoderImpl;
  ViTOptions options_;
  bool checkpointing_ = false;
  std::shared_ptr<EmbeddingsImpl> embeddings_;
  std::shared_ptr<EncoderImpl> encoder_;
  torch::nn::LayerNorm layernorm_{nullptr};
};
TORCH_MODULE(ViT);

/// How published ViT checkpoints name things: the prefix `vit.`, a classifier and a pooler.
WeightNames vit_weight_names();

}  // namespace rahf::nn
