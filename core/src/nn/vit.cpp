#include "rahf/core/nn/vit.h"

#include <torch/nn/functional/dropout.h>
#include <torch/nn/functional/upsampling.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>

#include <string>

#include "rahf/core/nn/attention.h"
#include "rahf/core/nn/checkpointing.h"
#include "rahf/core/shapes.h"

namespace rahf::nn {

namespace F = torch::nn::functional;
using torch::Tensor;
using torch::nn::Cloneable;
using torch::nn::Linear;
using torch::nn::LinearOptions;

void ViTOptions::validate(std::string_view name) const {
  const auto require = [&](bool holds, const char* rule, auto got) {
    if (holds) return;
    throw ConfigError(std::string(name) + ": " + rule + ", got " + option_text::write(got));
  };
  require(width > 0, "width must be > 0", width);
  require(layers > 0, "layers must be > 0", layers);
  require(heads > 0 && width % heads == 0, "heads must be > 0 and divide width", heads);
  require(hidden > 0, "hidden must be > 0", hidden);
  require(patch_size > 0, "patch_size must be > 0", patch_size);
  require(image_size > 0 && image_size % patch_size == 0,
          "image_size must be > 0 and a multiple of patch_size", image_size);
  require(channels > 0, "channels must be > 0", channels);
  require(layer_norm_eps > 0, "layer_norm_eps must be > 0", layer_norm_eps);
  require(initializer_range > 0, "initializer_range must be > 0", initializer_range);
  require(dropout >= 0 && dropout < 1, "dropout must be in [0, 1)", dropout);
}

// The module tree spells the names that Hugging Face's checkpoints have, for example
// encoder.layer.0.attention.attention.query.weight.
namespace {

struct SelfAttentionImpl : Cloneable<SelfAttentionImpl> {
  explicit SelfAttentionImpl(const ViTOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto linear = LinearOptions(options.width, options.width).bias(options.qkv_bias);
    query = register_module("query", Linear(linear));
    key = register_module("key", Linear(linear));
    value = register_module("value", Linear(linear));
  }
  Tensor forward(const Tensor& x) {
    const auto heads = options.heads;
    return merge_heads(attention(split_heads(query(x), heads), split_heads(key(x), heads),
                                 split_heads(value(x), heads), {},
                                 {.dropout = is_training() ? options.dropout : 0}));
  }
  ViTOptions options;
  Linear query{nullptr}, key{nullptr}, value{nullptr};
};
TORCH_MODULE(SelfAttention);

struct DenseImpl : Cloneable<DenseImpl> {
  DenseImpl(std::int64_t in, std::int64_t out) : options(in, out) { reset(); }
  void reset() override { dense = register_module("dense", Linear(options)); }
  Tensor forward(const Tensor& x) { return dense(x); }
  LinearOptions options;
  Linear dense{nullptr};
};
TORCH_MODULE(Dense);

struct AttentionImpl : Cloneable<AttentionImpl> {
  explicit AttentionImpl(const ViTOptions& o) : options(o) { reset(); }
  void reset() override {
    attention = register_module("attention", SelfAttention(options));
    output = register_module("output", Dense(options.width, options.width));
  }
  Tensor forward(const Tensor& x) { return output(attention(x)); }
  ViTOptions options;
  SelfAttention attention{nullptr};
  Dense output{nullptr};
};
TORCH_MODULE(Attention);

struct LayerImpl : Cloneable<LayerImpl> {
  explicit LayerImpl(const ViTOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto norm = torch::nn::LayerNormOptions({options.width}).eps(options.layer_norm_eps);
    attention = register_module("attention", Attention(options));
    intermediate = register_module("intermediate", Dense(options.width, options.hidden));
    output = register_module("output", Dense(options.hidden, options.width));
    before = register_module("layernorm_before", torch::nn::LayerNorm(norm));
    after = register_module("layernorm_after", torch::nn::LayerNorm(norm));
  }
  Tensor forward(const Tensor& in) {
    const auto drop = [this](const Tensor& x) {
      return options.dropout > 0 ? torch::dropout(x, options.dropout, is_training()) : x;
    };
    const auto x = in + drop(attention(before(in)));
    return x + drop(output(torch::gelu(intermediate(after(x)))));
  }
  ViTOptions options;
  Attention attention{nullptr};
  Dense intermediate{nullptr}, output{nullptr};
  torch::nn::LayerNorm before{nullptr}, after{nullptr};
};
TORCH_MODULE(Layer);

struct PatchEmbeddingsImpl : Cloneable<PatchEmbeddingsImpl> {
  explicit PatchEmbeddingsImpl(const ViTOptions& o) : options(o) { reset(); }
  void reset() override {
    projection = register_module(
        "projection", torch::nn::Conv2d(torch::nn::Conv2dOptions(options.channels, options.width,
                                                                 options.patch_size)
                                            .stride(options.patch_size)));
  }
  ViTOptions options;
  torch::nn::Conv2d projection{nullptr};
};
TORCH_MODULE(PatchEmbeddings);

}  // namespace

struct ViTImpl::EmbeddingsImpl : Cloneable<ViTImpl::EmbeddingsImpl> {
  explicit EmbeddingsImpl(const ViTOptions& o) : options(o) { reset(); }
  void reset() override {
    cls = register_parameter("cls_token", torch::empty({1, 1, options.width}));
    positions = register_parameter("position_embeddings",
                                   torch::empty({1, 1 + options.patches(), options.width}));
    patches = register_module("patch_embeddings", PatchEmbeddings(options));
  }
  Tensor forward(const Tensor& pixels) {
    const auto map = patches->projection(pixels);        // [B, D, h, w]
    const auto tokens = map.flatten(2).transpose(1, 2);  // [B, N, D]
    const auto first = cls.expand({tokens.size(0), 1, options.width});
    const auto x = torch::cat({first.to(tokens.scalar_type()), tokens}, 1) +
                   positions_for(map.size(2), map.size(3));  // [B, 1 + N, D]
    return options.dropout > 0 ? torch::dropout(x, options.dropout, is_training()) : x;
  }
  /// Position embeddings of a grid of h x w patches: [1, 1 + h w, D].
  Tensor positions_for(std::int64_t h, std::int64_t w) const {
    const auto side = options.image_size / options.patch_size;
    if (h == side && w == side) return positions;
    auto grid = positions.slice(1, 1).unflatten(1, {side, side}).permute({0, 3, 1, 2});
    grid = F::interpolate(grid, F::InterpolateFuncOptions()
                                    .size(std::vector<std::int64_t>{h, w})
                                    .mode(torch::kBicubic)
                                    .align_corners(false));  // [1, D, h, w]
    return torch::cat({positions.slice(1, 0, 1), grid.flatten(2).transpose(1, 2)}, 1);
  }
  ViTOptions options;
  Tensor cls, positions;
  PatchEmbeddings patches{nullptr};
};

struct ViTImpl::EncoderImpl : Cloneable<ViTImpl::EncoderImpl> {
  explicit EncoderImpl(const ViTOptions& o) : options(o) { reset(); }
  void reset() override {
    layers = register_module("layer", torch::nn::ModuleList());
    for (std::int64_t i = 0; i < options.layers; ++i) layers->push_back(Layer(options));
  }
  Tensor forward(Tensor x, bool checkpointing) {
    for (const auto& module : *layers) {
      const auto run = [module](const std::vector<Tensor>& in) {
        return module->as<LayerImpl>()->forward(in[0]);
      };
      x = checkpointing ? checkpoint(*module, {x}, run) : run({x});
    }
    return x;
  }
  ViTOptions options;
  torch::nn::ModuleList layers{nullptr};
};

ViTImpl::ViTImpl(ViTOptions options) : options_(options) {
  options_.validate();
  reset();
}

void ViTImpl::reset() {
  embeddings_ = register_module("embeddings", std::make_shared<EmbeddingsImpl>(options_));
  encoder_ = register_module("encoder", std::make_shared<EncoderImpl>(options_));
  layernorm_ = register_module(
      "layernorm", torch::nn::LayerNorm(
                       torch::nn::LayerNormOptions({options_.width}).eps(options_.layer_norm_eps)));

  for (auto& item : named_parameters()) {  // layer norms keep ones and zeros
    if (item.key().find("layernorm") != std::string::npos) continue;
    const bool is_bias = item.key().ends_with(".bias");
    is_bias ? torch::nn::init::zeros_(item.value())
            : torch::nn::init::normal_(item.value(), 0, options_.initializer_range);
  }
}

Tensor ViTImpl::forward(const Tensor& pixels) {
  Shapes shapes("ViT::forward");
  if (options_.interpolate_positions) {
    shapes.check("pixels", pixels, {"B", options_.channels, "H", "W"});
    if (pixels.size(2) < options_.patch_size || pixels.size(3) < options_.patch_size) {
      throw ShapeError("ViT::forward: pixels must hold at least one patch of " +
                       std::to_string(options_.patch_size) + " x " +
                       std::to_string(options_.patch_size));
    }
  } else {
    shapes.check("pixels", pixels,
                 {"B", options_.channels, options_.image_size, options_.image_size});
  }
  return layernorm_(encoder_->forward(embeddings_->forward(pixels), checkpointing_));
}

WeightNames vit_weight_names() {
  return {.prefix = "vit.", .ignore = {"pooler.*", "classifier.*"}};
}

}  // namespace rahf::nn
