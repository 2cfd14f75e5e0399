#include "clip_towers.h"

#include <torch/nn/init.h>

#include <cmath>

#include "initialisation.h"
#include "rahf/core/nn/attention.h"
#include "rahf/core/nn/checkpointing.h"
#include "rahf/core/shapes.h"

namespace rahf::nn {

using torch::Tensor;
using torch::nn::Cloneable;
using torch::nn::LayerNorm;
using torch::nn::LayerNormOptions;

namespace {

constexpr double kEmbeddingDeviation = 0.02;

void draw(Tensor parameter, double deviation) {
  if (initialising()) torch::nn::init::normal_(parameter, 0, deviation);
}

void draw(const Linear& linear, double deviation) {
  draw(linear->weight, deviation);
  if (linear->bias.defined() && initialising()) torch::nn::init::zeros_(linear->bias);
}

LayerNorm layer_norm(std::int64_t width, double eps) {
  return LayerNorm(LayerNormOptions({width}).eps(eps));
}

struct SelfAttentionImpl : Cloneable<SelfAttentionImpl> {
  explicit SelfAttentionImpl(const ClipEncoderImpl::Options& o) : options(o) { reset(); }
  void reset() override {
    const auto width = options.width;
    k_proj = register_module("k_proj", Linear(width, width));
    v_proj = register_module("v_proj", Linear(width, width));
    q_proj = register_module("q_proj", Linear(width, width));
    out_proj = register_module("out_proj", Linear(width, width));
    const double deviation = 1 / std::sqrt(static_cast<double>(width));
    for (const auto& in : {k_proj, v_proj, q_proj}) {
      draw(in, deviation / std::sqrt(2.0 * static_cast<double>(options.layers)));
    }
    draw(out_proj, deviation);
  }
  Tensor forward(const Tensor& x, const Tensor& bias) {
    const auto heads = options.heads;
    return out_proj(
        merge_heads(attention(split_heads(q_proj(x), heads), split_heads(k_proj(x), heads),
                              split_heads(v_proj(x), heads), bias)));
  }
  ClipEncoderImpl::Options options;
  Linear k_proj{nullptr}, v_proj{nullptr}, q_proj{nullptr}, out_proj{nullptr};
};
TORCH_MODULE(SelfAttention);

struct FeedForwardImpl : Cloneable<FeedForwardImpl> {
  explicit FeedForwardImpl(const ClipEncoderImpl::Options& o) : options(o) { reset(); }
  void reset() override {
    fc1 = register_module("fc1", Linear(options.width, options.hidden));
    fc2 = register_module("fc2", Linear(options.hidden, options.width));
    const auto width = static_cast<double>(options.width);
    draw(fc1, 1 / std::sqrt(2 * width));
    draw(fc2, 1 / std::sqrt(2 * width * static_cast<double>(options.layers)));
  }
  Tensor forward(const Tensor& x) {
    const auto hidden = fc1(x);
    return fc2(options.activation == ClipActivation::kGelu
                   ? torch::gelu(hidden)
                   : hidden * torch::sigmoid(1.702 * hidden));
  }
  ClipEncoderImpl::Options options;
  Linear fc1{nullptr}, fc2{nullptr};
};
TORCH_MODULE(FeedForward);

struct LayerImpl : Cloneable<LayerImpl> {
  explicit LayerImpl(const ClipEncoderImpl::Options& o) : options(o) { reset(); }
  void reset() override {
    self_attn = register_module("self_attn", SelfAttention(options));
    layer_norm1 = register_module("layer_norm1", layer_norm(options.width, options.layer_norm_eps));
    mlp = register_module("mlp", FeedForward(options));
    layer_norm2 = register_module("layer_norm2", layer_norm(options.width, options.layer_norm_eps));
  }
  Tensor forward(const Tensor& in, const Tensor& bias) {
    const auto x = in + self_attn(layer_norm1(in), bias);
    return x + mlp(layer_norm2(x));
  }
  ClipEncoderImpl::Options options;
  SelfAttention self_attn{nullptr};
  FeedForward mlp{nullptr};
  LayerNorm layer_norm1{nullptr}, layer_norm2{nullptr};
};
TORCH_MODULE(Layer);

/// A parameter `weight` that a module of this name holds.
struct TableImpl : Cloneable<TableImpl> {
  explicit TableImpl(std::vector<std::int64_t> shape) : sizes(std::move(shape)) { reset(); }
  void reset() override {
    weight = register_parameter("weight", torch::empty(sizes));
    draw(weight, kEmbeddingDeviation);
  }
  std::vector<std::int64_t> sizes;
  Tensor weight;
};
TORCH_MODULE(Table);

}  // namespace

Linear clip_projection(std::int64_t in, std::int64_t out) {
  Linear linear(torch::nn::LinearOptions(in, out).bias(false));
  draw(linear, 1 / std::sqrt(static_cast<double>(in)));
  return linear;
}

void ClipEncoderImpl::reset() {
  layers_ = register_module("layers", torch::nn::ModuleList());
  for (std::int64_t i = 0; i < options_.layers; ++i) layers_->push_back(Layer(options_));
}

ClipEncoderImpl::Outputs ClipEncoderImpl::forward(Tensor x, const Tensor& bias,
                                                  bool checkpointing) {
  Outputs outputs;
  for (const auto& module : *layers_) {
    const auto run = [module, bias](const std::vector<Tensor>& in) {
      return module->as<LayerImpl>()->forward(in[0], bias);
    };
    outputs.penultimate = x;
    x = checkpointing ? checkpoint(*module, {x}, run) : run({x});
  }
  outputs.last = x;
  return outputs;
}

// --- Text -------------------------------------------------------------------------------------

struct ClipTextTowerImpl::EmbeddingsImpl : Cloneable<ClipTextTowerImpl::EmbeddingsImpl> {
  explicit EmbeddingsImpl(const ClipTextOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto width = options.hidden_size;
    tokens = register_module("token_embedding", Table(std::vector{options.vocab_size, width}));
    positions = register_module("position_embedding",
                                Table(std::vector{options.max_position_embeddings, width}));
  }
  Tensor forward(const Tensor& ids) {
    return torch::embedding(tokens->weight, ids) + positions->weight.slice(0, 0, ids.size(1));
  }
  ClipTextOptions options;
  Table tokens{nullptr}, positions{nullptr};
};

void ClipTextTowerImpl::reset() {
  embeddings_ = register_module("embeddings", std::make_shared<EmbeddingsImpl>(options_));
  encoder_ = register_module(
      "encoder", ClipEncoder(ClipEncoderImpl::Options{
                     options_.hidden_size, options_.intermediate_size, options_.num_hidden_layers,
                     options_.num_attention_heads, options_.hidden_act, options_.layer_norm_eps}));
  final_layer_norm_ = register_module("final_layer_norm",
                                      layer_norm(options_.hidden_size, options_.layer_norm_eps));
}

ClipTextStates ClipTextTowerImpl::forward(const Tensor& ids, const Tensor& mask) {
  Shapes shapes("ClipText::forward");
  shapes.check("ids", ids, {"B", "L"}, torch::kLong);
  if (mask.defined()) shapes.check("mask", mask, {"B", "L"}, torch::kBool);
  const auto length = ids.size(1);
  if (length > options_.max_position_embeddings) {
    throw ShapeError("ClipText::forward: ids must be at most " +
                     std::to_string(options_.max_position_embeddings) + " per text, got " +
                     std::to_string(length));
  }
  auto keep = torch::ones({length, length}, ids.options().dtype(torch::kBool)).tril();
  if (mask.defined()) keep = keep.logical_and(mask.unsqueeze(1).unsqueeze(1));  // [B, 1, L, L]
  const auto bias = mask_bias(keep);
  const auto states =
      encoder_->forward(embeddings_->forward(ids),
                        mask.defined() ? bias : bias.unsqueeze(0).unsqueeze(0), checkpointing);

  // The first place of the end token, or of the largest id: places count down as a tie-break.
  constexpr std::int64_t kLargestId = 2;
  const auto score =
      options_.eos_token_id == kLargestId ? ids : ids.eq(options_.eos_token_id).to(torch::kLong);
  const auto end =
      (score * length + torch::arange(length - 1, -1, -1, ids.options())).argmax(1);  // [B]

  ClipTextStates result;
  result.last = final_layer_norm_(states.last);
  result.penultimate = states.penultimate;
  result.pooled = result.last.index({torch::arange(ids.size(0), ids.options()), end});
  return result;
}

// --- Pictures ---------------------------------------------------------------------------------

struct ClipVisionTowerImpl::EmbeddingsImpl : Cloneable<ClipVisionTowerImpl::EmbeddingsImpl> {
  explicit EmbeddingsImpl(const ClipVisionOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto width = options.hidden_size;
    const auto side = options.image_size / options.patch_size;
    class_embedding = register_parameter("class_embedding", torch::empty({width}));
    draw(class_embedding, 1 / std::sqrt(static_cast<double>(width)));
    patches = register_module(
        "patch_embedding",
        Conv2d(torch::nn::Conv2dOptions(options.num_channels, width, options.patch_size)
                   .stride(options.patch_size)
                   .bias(false)));
    draw(patches->weight, kEmbeddingDeviation);
    positions = register_module("position_embedding", Table(std::vector{side * side + 1, width}));
  }
  Tensor forward(const Tensor& pixels) {
    const auto tokens = patches(pixels).flatten(2).transpose(1, 2);  // [B, N, D]
    const auto first = class_embedding.expand({tokens.size(0), 1, options.hidden_size});
    return torch::cat({first.to(tokens.scalar_type()), tokens}, 1) + positions->weight;
  }
  ClipVisionOptions options;
  Tensor class_embedding;
  Conv2d patches{nullptr};
  Table positions{nullptr};
};

void ClipVisionTowerImpl::reset() {
  embeddings_ = register_module("embeddings", std::make_shared<EmbeddingsImpl>(options_));
  const auto norm = [this] { return layer_norm(options_.hidden_size, options_.layer_norm_eps); };
  pre_layrnorm_ = register_module("pre_layrnorm", norm());
  encoder_ = register_module(
      "encoder", ClipEncoder(ClipEncoderImpl::Options{
                     options_.hidden_size, options_.intermediate_size, options_.num_hidden_layers,
                     options_.num_attention_heads, options_.hidden_act, options_.layer_norm_eps}));
  post_layernorm_ = register_module("post_layernorm", norm());
}

ClipVisionStates ClipVisionTowerImpl::forward(const Tensor& pixels) {
  Shapes shapes("ClipVision::forward");
  shapes.check("pixels", pixels,
               {"B", options_.num_channels, options_.image_size, options_.image_size});
  ClipVisionStates result;
  result.last =
      encoder_->forward(pre_layrnorm_(embeddings_->forward(pixels)), {}, checkpointing).last;
  result.pooled = post_layernorm_(result.last.select(1, 0));
  return result;
}

}  // namespace rahf::nn
