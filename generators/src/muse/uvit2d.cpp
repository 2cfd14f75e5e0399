#include "rahf/generators/muse/uvit2d.h"

#include <torch/nn/functional/padding.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>

#include <array>
#include <cmath>
#include <string>
#include <type_traits>
#include <utility>

#include "rahf/core/nn/attention.h"
#include "rahf/core/nn/checkpointing.h"
#include "rahf/core/nn/config_file.h"
#include "rahf/core/nn/layers.h"
#include "rahf/core/nn/rms_norm.h"
#include "rahf/core/shapes.h"
#include "rahf/generators/part_folder.h"

namespace rahf::generators {

namespace F = torch::nn::functional;
using nn::Conv2d;
using nn::Linear;
using nn::RmsNorm;
using torch::Tensor;
using torch::nn::Cloneable;
using torch::nn::ModuleList;

void UVit2DOptions::validate(std::string_view name) const {
  const auto require = [&](bool holds, const char* rule, auto got) {
    if (holds) return;
    throw ConfigError(std::string(name) + ": " + rule + ", got " + option_text::write(got));
  };
  require(num_attention_heads > 0, "num_attention_heads must be > 0", num_attention_heads);
  require(hidden_size > 0 && hidden_size % num_attention_heads == 0,
          "hidden_size must be > 0 and a multiple of num_attention_heads", hidden_size);
  require(num_hidden_layers >= 0, "num_hidden_layers must be >= 0", num_hidden_layers);
  require(intermediate_size > 0, "intermediate_size must be > 0", intermediate_size);
  require(in_channels > 0, "in_channels must be > 0", in_channels);
  require(block_num_heads > 0, "block_num_heads must be > 0", block_num_heads);
  require(block_out_channels > 0 && block_out_channels % block_num_heads == 0,
          "block_out_channels must be > 0 and a multiple of block_num_heads", block_out_channels);
  require(num_res_blocks > 0, "num_res_blocks must be > 0", num_res_blocks);
  require(codebook_size > 0, "codebook_size must be > 0", codebook_size);
  require(vocab_size > codebook_size, "vocab_size must be > codebook_size", vocab_size);
  require(encoder_hidden_size > 0, "encoder_hidden_size must be > 0", encoder_hidden_size);
  require(cond_embed_dim > 0, "cond_embed_dim must be > 0", cond_embed_dim);
  require(micro_cond_encode_dim > 0 && micro_cond_encode_dim % 2 == 0,
          "micro_cond_encode_dim must be > 0 and even", micro_cond_encode_dim);
  require(micro_cond_embed_dim > 0 && micro_cond_embed_dim % micro_cond_encode_dim == 0,
          "micro_cond_embed_dim must be > 0 and a multiple of micro_cond_encode_dim",
          micro_cond_embed_dim);
  require(sample_size > 0, "sample_size must be > 0", sample_size);
  require(layer_norm_eps > 0, "layer_norm_eps must be > 0", layer_norm_eps);
}

UVit2DOptions uvit2d_options(const std::filesystem::path& config_json) {
  const nn::ConfigFile config(config_json);
  UVit2DOptions options;
  config.read_fields(options);
  for (const std::string key : {"hidden_dropout", "attention_dropout"}) {
    double share = 0;
    config.read(key, share);
    if (share != 0) {
      throw ConfigError(config.name() + ": " + key + " must be 0, got " +
                        option_text::write(share));
    }
  }
  bool affine = true;
  config.read("ln_elementwise_affine", affine);
  if (!affine) throw ConfigError(config.name() + ": ln_elementwise_affine must be true, got false");
  options.validate(config.name());
  return options;
}

UVit2DCondition UVit2DCondition::select(const Tensor& rows) const {
  UVit2DCondition chosen;
  for (const auto& one : given) chosen.given.push_back(one.index_select(0, rows));
  return chosen;
}

// The module tree spells the names that diffusers' checkpoints have. Tokens are [B, N, C], by rows
// of the grid. What a layer gets from the text and the micro-conditions is computed by its give()
// and comes back to its forward() as kGiven tensors.
namespace {

struct Grid2D {
  std::int64_t height, width;
};

/// [B, N, C] as a picture that shares its memory: [B, C, h, w], channels last.
Tensor to_map(const Tensor& tokens, const Grid2D& grid) {
  return tokens.unflatten(1, {grid.height, grid.width}).permute({0, 3, 1, 2});
}
Tensor to_tokens(const Tensor& map) { return map.permute({0, 2, 3, 1}).flatten(1, 2); }

torch::nn::LinearOptions linear(std::int64_t in, std::int64_t out, const UVit2DOptions& o) {
  return torch::nn::LinearOptions(in, out).bias(o.use_bias);
}
torch::nn::Conv2dOptions pointwise(std::int64_t in, std::int64_t out, const UVit2DOptions& o) {
  return torch::nn::Conv2dOptions(in, out, 1).bias(o.use_bias);
}

/// x (1 + scale) + shift, with given = {1 + scale, shift}.
Tensor modulate(const Tensor& x, const Tensor* given) {
  const bool same = x.scalar_type() == given[0].scalar_type();
  return same ? torch::addcmul(given[1], x, given[0]) : x * given[0] + given[1];
}

/// The two tensors of modulate() from a linear layer of silu(cond): [B, 1, C] each.
void give_modulation(Linear& layer, const Tensor& active, std::vector<Tensor>& given) {
  const auto both = layer(active).unsqueeze(1).chunk(2, -1);
  given.push_back(both[0] + 1);
  given.push_back(both[1]);
}

struct AttentionImpl : Cloneable<AttentionImpl> {
  struct Sizes {
    std::int64_t width, heads;
  };
  AttentionImpl(const UVit2DOptions& o, Sizes sizes)
      : width(sizes.width), heads(sizes.heads), options(o) {
    reset();
  }
  void reset() override {
    to_q = register_module("to_q", Linear(linear(width, width, options)));
    to_k = register_module("to_k", Linear(linear(width, width, options)));
    to_v = register_module("to_v", Linear(linear(width, width, options)));
    to_out = register_module("to_out", ModuleList(Linear(linear(width, width, options))));
  }
  /// Keys and values: [B, H, L, d] each.
  std::array<Tensor, 2> keys(const Tensor& from) {
    return {nn::split_heads(to_k(from), heads), nn::split_heads(to_v(from), heads)};
  }
  Tensor forward(const Tensor& x, const Tensor& key, const Tensor& value) {
    const auto query = nn::split_heads(to_q(x), heads);
    return to_out[0]->as<nn::LinearImpl>()->forward(
        nn::merge_heads(nn::attention(query, key, value)));
  }
  std::int64_t width, heads;
  UVit2DOptions options;
  Linear to_q{nullptr}, to_k{nullptr}, to_v{nullptr};
  ModuleList to_out{nullptr};
};
TORCH_MODULE(Attention);

/// ConvNeXt V2's global response normalisation (Woo et al. 2023, arXiv 2301.00808) over the tokens:
/// gamma x n + beta + x, n = |x_c| / (mean_c |x_c| + 1e-6), |x_c| the norm of a channel's tokens.
struct ResponseNormImpl : Cloneable<ResponseNormImpl> {
  explicit ResponseNormImpl(std::int64_t channels) : width(channels) { reset(); }
  void reset() override {
    gamma = register_parameter("gamma", torch::zeros({1, 1, 1, width}));
    beta = register_parameter("beta", torch::zeros({1, 1, 1, width}));
  }
  Tensor forward(const Tensor& x) {
    const auto wide = x.to(at::promote_types(x.scalar_type(), at::kFloat));
    // LibTorch's norm over an outer dimension takes five times as long. Below 1e-12 it has no
    // slope.
    const auto norm = torch::linalg_vecdot(wide, wide, 1).unsqueeze(1).clamp_min(1e-24).sqrt();
    const auto share = norm / (norm.mean(-1, /*keepdim=*/true) + 1e-6);  // [B, 1, C]
    const Tensor given[] = {(gamma[0] * share + 1).to(x.scalar_type()),
                            beta[0].to(x.scalar_type())};
    return modulate(x, given);
  }
  std::int64_t width;
  Tensor gamma, beta;
};
TORCH_MODULE(ResponseNorm);

struct ConvNextImpl : Cloneable<ConvNextImpl> {
  static constexpr std::size_t kGiven = 2;

  explicit ConvNextImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto C = options.block_out_channels;
    depthwise = register_module(
        "depthwise",
        Conv2d(torch::nn::Conv2dOptions(C, C, 3).padding(1).groups(C).bias(options.use_bias)));
    norm = register_module("norm", RmsNorm(C, options.layer_norm_eps));
    up = register_module("channelwise_linear_1", Linear(linear(C, 4 * C, options)));
    response = register_module("channelwise_norm", ResponseNorm(4 * C));
    down = register_module("channelwise_linear_2", Linear(linear(4 * C, C, options)));
    mapper =
        register_module("cond_embeds_mapper", Linear(linear(options.hidden_size, 2 * C, options)));
    torch::nn::init::zeros_(mapper->weight);
  }
  void give(const Tensor& active, std::vector<Tensor>& given) {
    give_modulation(mapper, active, given);
  }
  Tensor forward(const Tensor& x, const Grid2D& grid, const Tensor* given) {
    auto y = norm(to_tokens(depthwise(to_map(x, grid))));
    y = down(response(torch::gelu(up(y))));
    return modulate(y + x, given);
  }
  UVit2DOptions options;
  Conv2d depthwise{nullptr};
  RmsNorm norm{nullptr};
  Linear up{nullptr}, down{nullptr}, mapper{nullptr};
  ResponseNorm response{nullptr};
};
TORCH_MODULE(ConvNext);

/// Two attentions to the text, without a feed-forward layer.
struct TextAttentionImpl : Cloneable<TextAttentionImpl> {
  static constexpr std::size_t kGiven = 4;

  explicit TextAttentionImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto C = options.block_out_channels, D = options.hidden_size;
    if (C != D) mapper = register_module("kv_mapper", Linear(linear(D, C, options)));
    const auto heads = options.block_num_heads;
    constexpr double kEps = 1e-6;  // whatever layer_norm_eps says
    norm1 = register_module("norm1", RmsNorm(C, kEps));
    attn1 = register_module("attn1", Attention(options, AttentionImpl::Sizes{C, heads}));
    norm2 = register_module("norm2", RmsNorm(C, kEps));
    attn2 = register_module("attn2", Attention(options, AttentionImpl::Sizes{C, heads}));
  }
  /// @param active  silu(context)
  void give(const Tensor& context, const Tensor& active, std::vector<Tensor>& given) {
    const auto from = mapper.is_empty() ? context : mapper(active);
    for (auto* attention : {&attn1, &attn2}) {
      for (auto& one : (*attention)->keys(from)) given.push_back(std::move(one));
    }
  }
  Tensor forward(const Tensor& in, const Tensor* given) {
    const auto x = in + attn1(norm1(in), given[0], given[1]);
    return x + attn2(norm2(x), given[2], given[3]);
  }
  UVit2DOptions options;
  Linear mapper{nullptr};
  RmsNorm norm1{nullptr}, norm2{nullptr};
  Attention attn1{nullptr}, attn2{nullptr};
};
TORCH_MODULE(TextAttention);

struct DownsampleImpl : Cloneable<DownsampleImpl> {
  explicit DownsampleImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto C = options.block_out_channels;
    norm = register_module("norm", RmsNorm(C, options.layer_norm_eps));
    conv = register_module(
        "conv", Conv2d(torch::nn::Conv2dOptions(C, C, 2).stride(2).bias(options.use_bias)));
  }
  Tensor forward(const Tensor& x, Grid2D& grid) {
    const auto y = conv(to_map(norm(x), grid));
    grid = {y.size(2), y.size(3)};
    return to_tokens(y);
  }
  UVit2DOptions options;
  RmsNorm norm{nullptr};
  Conv2d conv{nullptr};
};
TORCH_MODULE(Downsample);

struct UpsampleImpl : Cloneable<UpsampleImpl> {
  explicit UpsampleImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto C = options.block_out_channels;
    norm = register_module("norm", RmsNorm(C, options.layer_norm_eps));
    conv = register_module(
        "conv", torch::nn::ConvTranspose2d(
                    torch::nn::ConvTranspose2dOptions(C, C, 2).stride(2).bias(options.use_bias)));
  }
  Tensor forward(const Tensor& x, Grid2D& grid) {
    const auto y = conv(to_map(norm(x), grid));
    grid = {y.size(2), y.size(3)};
    return to_tokens(y);
  }
  UVit2DOptions options;
  RmsNorm norm{nullptr};
  torch::nn::ConvTranspose2d conv{nullptr};
};
TORCH_MODULE(Upsample);

struct BlockImpl : Cloneable<BlockImpl> {
  struct Ends {
    bool downsample = false, upsample = false;
  };
  BlockImpl(const UVit2DOptions& o, Ends at_ends) : options(o), ends(at_ends) { reset(); }
  void reset() override {
    if (ends.downsample) before = register_module("downsample", Downsample(options));
    convs = register_module("res_blocks", ModuleList());
    attentions = register_module("attention_blocks", ModuleList());
    for (std::int64_t i = 0; i < options.num_res_blocks; ++i) {
      convs->push_back(ConvNext(options));
      attentions->push_back(TextAttention(options));
    }
    if (ends.upsample) after = register_module("upsample", Upsample(options));
  }
  void give(const Tensor& context, const Tensor& active_context, const Tensor& active_cond,
            std::vector<Tensor>& given) {
    for (std::size_t i = 0; i < convs->size(); ++i) {
      convs[i]->as<ConvNextImpl>()->give(active_cond, given);
      attentions[i]->as<TextAttentionImpl>()->give(context, active_context, given);
    }
  }
  /// Takes what it was given off `given`.
  Tensor forward(Tensor x, Grid2D& grid, const Tensor*& given) {
    if (!before.is_empty()) x = before(x, grid);
    for (std::size_t i = 0; i < convs->size(); ++i) {
      x = convs[i]->as<ConvNextImpl>()->forward(x, grid, given);
      given += ConvNextImpl::kGiven;
      x = attentions[i]->as<TextAttentionImpl>()->forward(x, given);
      given += TextAttentionImpl::kGiven;
    }
    return after.is_empty() ? x : after(x, grid);
  }
  UVit2DOptions options;
  Ends ends;
  ModuleList convs{nullptr}, attentions{nullptr};
  Downsample before{nullptr};
  Upsample after{nullptr};
};
TORCH_MODULE(Block);

/// Layer norm's weight under its published name, `norm.weight`; there is a bias with use_bias.
struct LayerScaleImpl : Cloneable<LayerScaleImpl> {
  explicit LayerScaleImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    weight = register_parameter("weight", torch::ones({options.hidden_size}));
    if (options.use_bias) bias = register_parameter("bias", torch::zeros({options.hidden_size}));
  }
  Tensor forward(const Tensor& x) {
    return torch::layer_norm(x, {options.hidden_size}, weight, bias, options.layer_norm_eps);
  }
  UVit2DOptions options;
  Tensor weight, bias;
};
TORCH_MODULE(LayerScale);

/// A norm that cond modulates: norm(x) (1 + scale) + shift.
template <class Norm>
struct AdaptiveNormImpl : Cloneable<AdaptiveNormImpl<Norm>> {
  explicit AdaptiveNormImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto D = options.hidden_size;
    mapper = this->register_module("linear", Linear(linear(D, 2 * D, options)));
    torch::nn::init::zeros_(mapper->weight);
    if constexpr (std::is_same_v<Norm, RmsNorm>) {
      norm = this->register_module("norm", RmsNorm(D, options.layer_norm_eps));
    } else {
      norm = this->register_module("norm", Norm(options));
    }
  }
  Tensor forward(const Tensor& x, const Tensor* given) { return modulate(norm(x), given); }
  UVit2DOptions options;
  Linear mapper{nullptr};
  Norm norm{nullptr};
};
using AdaptiveRmsNorm = torch::nn::ModuleHolder<AdaptiveNormImpl<RmsNorm>>;
using AdaptiveLayerNorm = torch::nn::ModuleHolder<AdaptiveNormImpl<LayerScale>>;

struct GegluImpl : Cloneable<GegluImpl> {
  explicit GegluImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    proj = register_module(
        "proj", Linear(linear(options.hidden_size, 2 * options.intermediate_size, options)));
  }
  Tensor forward(const Tensor& x) {
    const auto both = proj(x).chunk(2, -1);
    return both[0] * torch::gelu(both[1]);
  }
  UVit2DOptions options;
  Linear proj{nullptr};
};
TORCH_MODULE(Geglu);

struct FeedForwardImpl : Cloneable<FeedForwardImpl> {
  explicit FeedForwardImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    net = register_module("net", ModuleList());
    net->push_back(Geglu(options));
    net->push_back(torch::nn::Identity());  // where the published network has its dropout
    net->push_back(Linear(linear(options.intermediate_size, options.hidden_size, options)));
  }
  Tensor forward(const Tensor& x) {
    return net[2]->as<nn::LinearImpl>()->forward(net[0]->as<GegluImpl>()->forward(x));
  }
  UVit2DOptions options;
  ModuleList net{nullptr};
};
TORCH_MODULE(FeedForward);

struct LayerImpl : Cloneable<LayerImpl> {
  static constexpr std::size_t kGiven = 8;

  explicit LayerImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto D = options.hidden_size, heads = options.num_attention_heads;
    norm1 = register_module("norm1", AdaptiveRmsNorm(options));
    attn1 = register_module("attn1", Attention(options, AttentionImpl::Sizes{D, heads}));
    norm2 = register_module("norm2", AdaptiveRmsNorm(options));
    attn2 = register_module("attn2", Attention(options, AttentionImpl::Sizes{D, heads}));
    norm3 = register_module("norm3", AdaptiveLayerNorm(options));
    ff = register_module("ff", FeedForward(options));
  }
  void give(const Tensor& context, const Tensor& active_cond, std::vector<Tensor>& given) {
    for (auto* mapper : {&norm1->mapper, &norm2->mapper, &norm3->mapper}) {
      give_modulation(*mapper, active_cond, given);
    }
    for (auto& one : attn2->keys(context)) given.push_back(std::move(one));
  }
  Tensor forward(Tensor x, const Tensor* given) {
    auto y = norm1(x, given);
    const auto own = attn1->keys(y);
    x = x + attn1(y, own[0], own[1]);
    x = x + attn2(norm2(x, given + 2), given[6], given[7]);
    return x + ff(norm3(x, given + 4));
  }
  UVit2DOptions options;
  AdaptiveRmsNorm norm1{nullptr}, norm2{nullptr};
  AdaptiveLayerNorm norm3{nullptr};
  Attention attn1{nullptr}, attn2{nullptr};
  FeedForward ff{nullptr};
};
TORCH_MODULE(Layer);

struct EmbedImpl : Cloneable<EmbedImpl> {
  explicit EmbedImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    embeddings = register_module("embeddings",
                                 torch::nn::Embedding(options.vocab_size, options.in_channels));
    torch::nn::init::normal_(embeddings->weight, 0,
                             1 / std::sqrt(static_cast<double>(options.vocab_size)));
    norm = register_module("layer_norm", RmsNorm(options.in_channels, options.layer_norm_eps));
    conv = register_module(
        "conv", Conv2d(pointwise(options.in_channels, options.block_out_channels, options)));
  }
  Tensor forward(const Tensor& ids) {
    return to_tokens(conv(norm(embeddings(ids)).permute({0, 3, 1, 2})));
  }
  UVit2DOptions options;
  torch::nn::Embedding embeddings{nullptr};
  RmsNorm norm{nullptr};
  Conv2d conv{nullptr};
};
TORCH_MODULE(Embed);

struct CondEmbedImpl : Cloneable<CondEmbedImpl> {
  explicit CondEmbedImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto D = options.hidden_size;
    first = register_module(
        "linear_1",
        Linear(linear(options.cond_embed_dim + options.micro_cond_embed_dim, D, options)));
    second = register_module("linear_2", Linear(linear(D, D, options)));
  }
  Tensor forward(const Tensor& x) { return second(torch::silu(first(x))); }
  UVit2DOptions options;
  Linear first{nullptr}, second{nullptr};
};
TORCH_MODULE(CondEmbed);

struct HeadImpl : Cloneable<HeadImpl> {
  explicit HeadImpl(const UVit2DOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto C = options.in_channels;
    conv1 = register_module("conv1", Conv2d(pointwise(options.block_out_channels, C, options)));
    norm = register_module("layer_norm", RmsNorm(C, options.layer_norm_eps));
    conv2 = register_module("conv2", Conv2d(pointwise(C, options.codebook_size, options)));
  }
  Tensor forward(const Tensor& x, const Grid2D& grid) {
    return conv2(to_map(norm(to_tokens(conv1(to_map(x, grid)))), grid));
  }
  UVit2DOptions options;
  Conv2d conv1{nullptr}, conv2{nullptr};
  RmsNorm norm{nullptr};
};
TORCH_MODULE(Head);

/// [cos(v f_k), sin(v f_k)] of each micro-condition v, f_k = 10000^(-k / half): [B, M] -> [B, M E]
Tensor encode_micro_conditions(const Tensor& values, std::int64_t width) {
  const auto half = width / 2;
  const auto k = torch::arange(half, values.options().dtype(torch::kFloat));
  const auto frequency = torch::exp(k * (-std::log(10000.0) / static_cast<double>(half)));
  const auto angle = values.to(torch::kFloat).unsqueeze(-1) * frequency;  // [B, M, half]
  return torch::cat({angle.cos(), angle.sin()}, -1).flatten(1);
}

}  // namespace

struct UVit2DModelImpl::Parts {
  Linear encoder_proj{nullptr}, project_to_hidden{nullptr}, project_from_hidden{nullptr};
  RmsNorm encoder_norm{nullptr}, to_hidden_norm{nullptr}, from_hidden_norm{nullptr};
  Embed embed{nullptr};
  CondEmbed cond_embed{nullptr};
  Block down{nullptr}, up{nullptr};
  ModuleList layers{nullptr};
  Head head{nullptr};
};

UVit2DModelImpl::UVit2DModelImpl(UVit2DOptions options) : options_(options) {
  options_.validate();
  reset();
}

void UVit2DModelImpl::reset() {
  const auto& o = options_;
  const auto C = o.block_out_channels, D = o.hidden_size;
  parts_ = std::make_shared<Parts>();
  auto& p = *parts_;
  p.encoder_proj = register_module("encoder_proj", Linear(linear(o.encoder_hidden_size, D, o)));
  p.encoder_norm = register_module("encoder_proj_layer_norm", RmsNorm(D, o.layer_norm_eps));
  p.embed = register_module("embed", Embed(o));
  p.cond_embed = register_module("cond_embed", CondEmbed(o));
  p.down = register_module("down_block", Block(o, BlockImpl::Ends{.downsample = o.downsample}));
  p.to_hidden_norm = register_module("project_to_hidden_norm", RmsNorm(C, o.layer_norm_eps));
  p.project_to_hidden = register_module("project_to_hidden", Linear(linear(C, D, o)));
  p.layers = register_module("transformer_layers", ModuleList());
  for (std::int64_t i = 0; i < o.num_hidden_layers; ++i) p.layers->push_back(Layer(o));
  p.from_hidden_norm = register_module("project_from_hidden_norm", RmsNorm(D, o.layer_norm_eps));
  p.project_from_hidden = register_module("project_from_hidden", Linear(linear(D, C, o)));
  p.up = register_module("up_block", Block(o, BlockImpl::Ends{.upsample = o.upsample}));
  p.head = register_module("mlm_layer", Head(o));
}

UVit2DCondition UVit2DModelImpl::condition(const Tensor& states, const Tensor& pooled,
                                           const Tensor& micro_conditions) {
  Shapes shapes("UVit2DModel::condition");
  shapes.check("states", states, {"B", "L", options_.encoder_hidden_size});
  shapes.check("pooled", pooled, {"B", options_.cond_embed_dim});
  shapes.check("micro_conditions", micro_conditions, {"B", options_.micro_conditions()});
  auto& p = *parts_;
  const auto dtype = p.embed->embeddings->weight.scalar_type();
  const auto context = p.encoder_norm(p.encoder_proj(states.to(dtype)));
  const auto micro = encode_micro_conditions(micro_conditions, options_.micro_cond_encode_dim);
  const auto cond = p.cond_embed(torch::cat({pooled.to(dtype), micro.to(dtype)}, 1));

  const auto active_context = torch::silu(context), active_cond = torch::silu(cond);
  UVit2DCondition result;
  p.down->give(context, active_context, active_cond, result.given);
  for (const auto& layer : *p.layers) {
    layer->as<LayerImpl>()->give(context, active_cond, result.given);
  }
  p.up->give(context, active_context, active_cond, result.given);
  return result;
}

Tensor UVit2DModelImpl::forward(const Tensor& ids, const UVit2DCondition& condition) {
  Shapes("UVit2DModel::forward").check("ids", ids, {condition.batch(), "h", "w"}, torch::kLong);
  if (options_.downsample && (ids.size(1) % 2 != 0 || ids.size(2) % 2 != 0)) {
    throw ShapeError("UVit2DModel::forward: ids must have an even height and width, got " +
                     std::to_string(ids.size(1)) + " x " + std::to_string(ids.size(2)));
  }
  auto& p = *parts_;
  Grid2D grid{ids.size(1), ids.size(2)};
  const auto* given = condition.given.data();
  auto x = p.down(p.embed(ids), grid, given);

  x = p.project_to_hidden(p.to_hidden_norm(x));  // [B, N, D]
  for (const auto& layer : *p.layers) {
    const auto run = [layer](const std::vector<Tensor>& in) {
      return layer->as<LayerImpl>()->forward(in[0], &in[1]);
    };
    std::vector<Tensor> inputs{x};
    inputs.insert(inputs.end(), given, given + LayerImpl::kGiven);
    x = checkpointing_ ? nn::checkpoint(*layer, inputs, run) : run(inputs);
    given += LayerImpl::kGiven;
  }
  x = p.project_from_hidden(p.from_hidden_norm(x));  // [B, N, C]

  x = p.up(x, grid, given);
  return p.head(x, grid);
}

UVit2DModel load_uvit2d(const std::filesystem::path& folder) {
  const nn::WithoutInitialisation scope;
  UVit2DModel model(uvit2d_options(folder / "config.json"));
  load_part(*model, folder);
  return model;
}

void save_uvit2d(const UVit2DModel& model, const std::filesystem::path& folder) {
  auto config = part_config("UVit2DModel");
  config.set_fields(model->options());
  config.set("hidden_dropout", 0.0);
  config.set("attention_dropout", 0.0);
  config.set("ln_elementwise_affine", true);
  save_part(*model, config, folder);
}

io::TensorMap uvit_outputs(const std::filesystem::path& folder, const nn::ParityCase& test) {
  const torch::NoGradGuard no_grad;
  auto model = load_uvit2d(folder);
  const auto condition = model->condition(test.input("encoder_hidden_states"),
                                          test.input("pooled_text_emb"), test.input("micro_conds"));
  const auto logits = model(test.input("input_ids"), condition);
  return {{"logits", logits}, {"sample", logits}};
}

}  // namespace rahf::generators
