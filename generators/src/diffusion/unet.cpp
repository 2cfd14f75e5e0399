#include "rahf/generators/diffusion/unet.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/silu.h>
#include <torch/nn/modules/normalization.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/nn/checkpointing.h"
#include "rahf/core/nn/config_file.h"
#include "rahf/core/shapes.h"
#include "rahf/generators/part_folder.h"
#include "rahf/generators/residual_block.h"
#include "rahf/generators/transformer_layers.h"

namespace rahf::generators {

using nn::Conv2d;
using nn::GroupNorm;
using torch::Tensor;
using torch::nn::Cloneable;
using torch::nn::Conv2dOptions;
using torch::nn::LayerNorm;
using torch::nn::ModuleList;

namespace {

constexpr double kTransformerNormEps = 1e-6;
constexpr double kLayerNormEps = 1e-5;
constexpr std::int64_t kFeedForwardFactor = 4;

/// The value for a level of an option that holds one for all or one for each.
std::int64_t at_level(const std::vector<std::int64_t>& values, std::size_t level) {
  return values.size() == 1 ? values[0] : values[level];
}

/// Self-attention, attention to the text, and a feed-forward layer, each behind a norm and added.
struct TransformerLayerImpl : Cloneable<TransformerLayerImpl> {
  TransformerLayerImpl(std::int64_t w, std::int64_t h, const UNetOptions& o)
      : width(w), heads(h), options(o) {
    reset();
  }
  void reset() override {
    const auto norm = [this] {
      return LayerNorm(torch::nn::LayerNormOptions({width}).eps(kLayerNormEps));
    };
    norm1 = register_module("norm1", norm());
    norm2 = register_module("norm2", norm());
    norm3 = register_module("norm3", norm());
    AttentionLayerOptions attention{
        .width = width, .heads = heads, .upcast = options.upcast_attention};
    attn1 = register_module("attn1", AttentionLayer(attention));
    attention.context_width = options.cross_attention_dim;
    attn2 = register_module("attn2", AttentionLayer(attention));
    ff = register_module("ff", GatedFeedForward(GatedFeedForwardOptions{
                                   .width = width, .hidden = kFeedForwardFactor * width}));
  }
  Tensor forward(Tensor x, const Tensor& states) {
    const auto normed = norm1(x);
    x = sum_with_temporary(attn1(normed, normed), x);
    x = sum_with_temporary(attn2(norm2(x), states), x);
    return sum_with_temporary(ff(norm3(x)), x);
  }
  std::int64_t width, heads;
  UNetOptions options;
  LayerNorm norm1{nullptr}, norm2{nullptr}, norm3{nullptr};
  AttentionLayer attn1{nullptr}, attn2{nullptr};
  GatedFeedForward ff{nullptr};
};

/// Transformer layers over the pixels of a map, with a residual path (diffusers'
/// Transformer2DModel).
struct SpatialTransformerImpl : Cloneable<SpatialTransformerImpl> {
  SpatialTransformerImpl(std::int64_t w, std::size_t l, const UNetOptions& o)
      : width(w), level(l), options(o) {
    reset();
  }
  void reset() override {
    norm = register_module("norm", GroupNorm(nn::GroupNormOptions{.groups = options.norm_num_groups,
                                                                  .channels = width,
                                                                  .eps = kTransformerNormEps}));
    if (options.use_linear_projection) {
      linear_in = register_module("proj_in", nn::Linear(width, width));
      linear_out = register_module("proj_out", nn::Linear(width, width));
    } else {
      conv_in = register_module("proj_in", Conv2d(width, width, 1));
      conv_out = register_module("proj_out", Conv2d(width, width, 1));
    }
    layers = register_module("transformer_blocks", ModuleList());
    for (std::int64_t i = 0; i < at_level(options.transformer_layers_per_block, level); ++i) {
      layers->push_back(std::make_shared<TransformerLayerImpl>(
          width, at_level(options.attention_head_dim, level), options));
    }
  }
  Tensor forward(const Tensor& x, const Tensor& states) {
    const auto tokens = [](const Tensor& map) { return map.permute({0, 2, 3, 1}).flatten(1, 2); };
    const auto map = [&x](const Tensor& y) {
      return y.unflatten(1, {x.size(2), x.size(3)}).permute({0, 3, 1, 2});
    };
    auto y = norm->forward(x);
    y = linear_in ? linear_in(tokens(y)) : tokens(conv_in(y));  // [B, h w, C]
    for (const auto& layer : *layers) y = layer->as<TransformerLayerImpl>()->forward(y, states);
    return sum_with_temporary(linear_out ? map(linear_out(y)) : conv_out(map(y)), x);
  }
  std::int64_t width;
  std::size_t level;
  UNetOptions options;
  GroupNorm norm{nullptr};
  nn::Linear linear_in{nullptr}, linear_out{nullptr};
  Conv2d conv_in{nullptr}, conv_out{nullptr};
  ModuleList layers{nullptr};
};

/// What every block of one call is given.
struct Conditions {
  Tensor time;    ///< [B, 4 C] the time embedding, activated
  Tensor states;  ///< [B, L, D]
  bool checkpointing = false;

  Tensor residual(const std::shared_ptr<torch::nn::Module>& block, const Tensor& x) const {
    const auto body = [block](const std::vector<Tensor>& in) {
      return block->as<ResidualBlockImpl>()->forward(in[0], in[1]);
    };
    return checkpointing ? nn::checkpoint(*block, {x, time}, body) : body({x, time});
  }
  Tensor attention(const std::shared_ptr<torch::nn::Module>& block, const Tensor& x) const {
    const auto body = [block](const std::vector<Tensor>& in) {
      return block->as<SpatialTransformerImpl>()->forward(in[0], in[1]);
    };
    return checkpointing ? nn::checkpoint(*block, {x, states}, body) : body({x, states});
  }
};

/// One level: residual blocks, a transformer behind each where it has them, a change of size.
struct LevelImpl : Cloneable<LevelImpl> {
  enum class Then { kNothing, kDown, kUp };
  struct Options {
    std::vector<std::int64_t> in;  ///< Channels into each residual block.
    std::int64_t out = 0;
    bool attend = false;
    std::size_t level = 0;  ///< Counted from the full size down.
    Then then = Then::kNothing;
  };
  LevelImpl(Options o, const UNetOptions& u) : own(std::move(o)), options(u) { reset(); }
  void reset() override {
    resnets = register_module("resnets", ModuleList());
    if (own.attend) attentions = register_module("attentions", ModuleList());
    for (const auto in : own.in) {
      resnets->push_back(ResidualBlock(
          ResidualBlockOptions{.in_channels = in,
                               .out_channels = own.out,
                               .time_channels = kFeedForwardFactor * options.block_out_channels[0],
                               .norm_groups = options.norm_num_groups,
                               .norm_eps = options.norm_eps,
                               .dropout = options.dropout}));
      if (own.attend) {
        attentions->push_back(
            std::make_shared<SpatialTransformerImpl>(own.out, own.level, options));
      }
    }
    if (own.then == Then::kDown) {
      down = Downsample(own.out, DownsamplePadding::kAround);
      register_module("downsamplers", ModuleList())->push_back(down);
    } else if (own.then == Then::kUp) {
      up = Upsample(own.out);
      register_module("upsamplers", ModuleList())->push_back(up);
    }
  }
  /// Appends what the way up joins again.
  Tensor go_down(Tensor x, const Conditions& on, std::vector<Tensor>& skips) {
    for (std::size_t i = 0; i < resnets->size(); ++i) {
      x = block(i, x, on);
      skips.push_back(x);
    }
    if (down) skips.push_back(x = down(x));
    return x;
  }
  /// Takes off the end of `skips` what it joins.
  Tensor go_up(Tensor x, const Conditions& on, std::vector<Tensor>& skips) {
    for (std::size_t i = 0; i < resnets->size(); ++i) {
      x = torch::cat({x, skips.back()}, 1);
      skips.pop_back();
      x = block(i, x, on);
    }
    return up ? up(x, skips.back().size(2), skips.back().size(3)) : x;
  }
  Tensor block(std::size_t i, const Tensor& in, const Conditions& on) {
    const auto x = on.residual(resnets->ptr(i), in);
    return own.attend ? on.attention(attentions->ptr(i), x) : x;
  }
  Options own;
  UNetOptions options;
  ModuleList resnets{nullptr}, attentions{nullptr};
  Downsample down{nullptr};
  Upsample up{nullptr};
};

/// The lowest level: residual block, transformer, residual block.
struct MidBlockImpl : Cloneable<MidBlockImpl> {
  explicit MidBlockImpl(const UNetOptions& o) : options(o) { reset(); }
  void reset() override {
    const auto channels = options.block_out_channels.back();
    resnets = register_module("resnets", ModuleList());
    attentions = register_module("attentions", ModuleList());
    for (int i = 0; i < 2; ++i) {
      resnets->push_back(ResidualBlock(
          ResidualBlockOptions{.in_channels = channels,
                               .out_channels = channels,
                               .time_channels = kFeedForwardFactor * options.block_out_channels[0],
                               .norm_groups = options.norm_num_groups,
                               .norm_eps = options.norm_eps,
                               .dropout = options.dropout}));
    }
    attentions->push_back(std::make_shared<SpatialTransformerImpl>(
        channels, options.block_out_channels.size() - 1, options));
  }
  Tensor forward(Tensor x, const Conditions& on) {
    x = on.residual(resnets->ptr(0), x);
    x = on.attention(attentions->ptr(0), x);
    return on.residual(resnets->ptr(1), x);
  }
  UNetOptions options;
  ModuleList resnets{nullptr}, attentions{nullptr};
};

/// Sines and cosines of a time at frequencies that fall from 1 to about 1e-4: [B, width] f32.
Tensor sinusoids(const Tensor& time, std::int64_t width, const UNetOptions& options) {
  const auto half = width / 2;
  const double step = -std::log(10000.0) / static_cast<double>(half - options.freq_shift);
  const auto frequencies =
      (torch::arange(half, time.options().dtype(torch::kFloat)) * step).exp();  // [width / 2]
  const auto angles = time.to(torch::kFloat).unsqueeze(1) * frequencies;
  return options.flip_sin_to_cos ? torch::cat({angles.cos(), angles.sin()}, 1)
                                 : torch::cat({angles.sin(), angles.cos()}, 1);
}

}  // namespace

struct UNet2DConditionModelImpl::TimeEmbeddingImpl
    : Cloneable<UNet2DConditionModelImpl::TimeEmbeddingImpl> {
  TimeEmbeddingImpl(std::int64_t i, std::int64_t o) : in(i), out(o) { reset(); }
  void reset() override {
    linear_1 = register_module("linear_1", nn::Linear(in, out));
    linear_2 = register_module("linear_2", nn::Linear(out, out));
  }
  Tensor forward(const Tensor& x) { return linear_2(torch::silu(linear_1(x))); }
  std::int64_t in, out;
  nn::Linear linear_1{nullptr}, linear_2{nullptr};
};

void UNetOptions::validate(std::string_view name) const {
  const auto require = [&](bool holds, const char* rule, auto got) {
    if (holds) return;
    throw ConfigError(std::string(name) + ": " + rule + ", got " + option_text::write(got));
  };
  const auto levels = block_out_channels.size();
  const auto only = [](const std::vector<std::string>& types, const char* a, const char* b) {
    return std::all_of(types.begin(), types.end(),
                       [=](const auto& type) { return type == a || type == b; });
  };
  const auto per_level = [&](const std::vector<std::int64_t>& values) {
    return (values.size() == 1 || values.size() == levels) &&
           std::all_of(values.begin(), values.end(), [](auto v) { return v > 0; });
  };
  require(sample_size.size() == 1 || sample_size.size() == 2,
          "sample_size must be one or two numbers", sample_size);
  require(in_channels > 0, "in_channels must be > 0", in_channels);
  require(out_channels > 0, "out_channels must be > 0", out_channels);
  require(norm_num_groups > 0, "norm_num_groups must be > 0", norm_num_groups);
  require(levels > 0 && std::all_of(block_out_channels.begin(), block_out_channels.end(),
                                    [this](auto c) { return c > 0 && c % norm_num_groups == 0; }),
          "block_out_channels must be multiples of norm_num_groups", block_out_channels);
  require(block_out_channels[0] % 2 == 0, "the first of block_out_channels must be even",
          block_out_channels);
  require(freq_shift >= 0 && freq_shift < block_out_channels[0] / 2,
          "freq_shift must be in [0, half of the first of block_out_channels)", freq_shift);
  require(down_block_types.size() == levels &&
              only(down_block_types, "CrossAttnDownBlock2D", "DownBlock2D"),
          "down_block_types must be CrossAttnDownBlock2D or DownBlock2D per level",
          down_block_types);
  require(
      up_block_types.size() == levels && only(up_block_types, "CrossAttnUpBlock2D", "UpBlock2D"),
      "up_block_types must be CrossAttnUpBlock2D or UpBlock2D per level", up_block_types);
  require(layers_per_block > 0, "layers_per_block must be > 0", layers_per_block);
  require(dropout >= 0 && dropout < 1, "dropout must be in [0, 1)", dropout);
  require(norm_eps > 0, "norm_eps must be > 0", norm_eps);
  require(cross_attention_dim > 0, "cross_attention_dim must be > 0", cross_attention_dim);
  require(per_level(transformer_layers_per_block),
          "transformer_layers_per_block must be > 0, for all levels or per level",
          transformer_layers_per_block);
  require(per_level(attention_head_dim),
          "attention_head_dim must be > 0, for all levels or per level", attention_head_dim);
  for (std::size_t i = 0; i < levels; ++i) {
    const bool attends = i + 1 == levels || down_block_types[i] == "CrossAttnDownBlock2D" ||
                         up_block_types[levels - 1 - i] == "CrossAttnUpBlock2D";
    require(!attends || block_out_channels[i] % at_level(attention_head_dim, i) == 0,
            "attention_head_dim, the number of heads, must divide the level's channels",
            attention_head_dim);
  }
}

UNet2DConditionModelImpl::UNet2DConditionModelImpl(UNetOptions options)
    : options_(std::move(options)) {
  options_.validate();
  reset();
}

void UNet2DConditionModelImpl::reset() {
  const auto& channels = options_.block_out_channels;
  const auto levels = channels.size();
  const auto layers = static_cast<std::size_t>(options_.layers_per_block);
  conv_in_ = register_module(
      "conv_in", Conv2d(Conv2dOptions(options_.in_channels, channels[0], 3).padding(1)));
  time_embedding_ = register_module(
      "time_embedding",
      std::make_shared<TimeEmbeddingImpl>(channels[0], kFeedForwardFactor * channels[0]));
  down_blocks_ = register_module("down_blocks", ModuleList());
  for (std::size_t i = 0; i < levels; ++i) {
    std::vector<std::int64_t> in(layers, channels[i]);
    in[0] = channels[i == 0 ? 0 : i - 1];
    down_blocks_->push_back(std::make_shared<LevelImpl>(
        LevelImpl::Options{
            .in = std::move(in),
            .out = channels[i],
            .attend = options_.down_block_types[i] == "CrossAttnDownBlock2D",
            .level = i,
            .then = i + 1 == levels ? LevelImpl::Then::kNothing : LevelImpl::Then::kDown},
        options_));
  }
  mid_block_ = register_module("mid_block", std::make_shared<MidBlockImpl>(options_));
  up_blocks_ = register_module("up_blocks", ModuleList());
  for (std::size_t i = levels; i-- > 0;) {
    // Each takes what comes from below, or from the block before, joined with one from the way
    // down, where the level's first input came from the level above.
    std::vector<std::int64_t> in(layers + 1, 2 * channels[i]);
    in.front() += channels[std::min(i + 1, levels - 1)] - channels[i];
    in.back() += channels[i == 0 ? 0 : i - 1] - channels[i];
    up_blocks_->push_back(std::make_shared<LevelImpl>(
        LevelImpl::Options{
            .in = std::move(in),
            .out = channels[i],
            .attend = options_.up_block_types[levels - 1 - i] == "CrossAttnUpBlock2D",
            .level = i,
            .then = i == 0 ? LevelImpl::Then::kNothing : LevelImpl::Then::kUp},
        options_));
  }
  conv_norm_out_ = register_module(
      "conv_norm_out",
      GroupNorm(nn::GroupNormOptions{
          .groups = options_.norm_num_groups, .channels = channels[0], .eps = options_.norm_eps}));
  conv_out_ = register_module(
      "conv_out", Conv2d(Conv2dOptions(channels[0], options_.out_channels, 3).padding(1)));
}

Tensor UNet2DConditionModelImpl::forward(const Tensor& sample, const Tensor& timestep,
                                         const Tensor& states) {
  Shapes shapes("UNet2DConditionModel::forward");
  shapes.check("sample", sample, {"B", options_.in_channels, "h", "w"});
  shapes.check("timestep", timestep, {"B"});
  shapes.check("states", states, {"B", "L", options_.cross_attention_dim});

  const auto dtype = conv_in_->weight.scalar_type();
  const auto embedded =
      sinusoids(timestep, options_.block_out_channels[0], options_).to(dtype);  // [B, C]
  const Conditions on{.time = torch::silu(time_embedding_->forward(embedded)),
                      .states = states.to(dtype),
                      .checkpointing = checkpointing_};
  auto x = sample.to(dtype).contiguous(at::MemoryFormat::ChannelsLast);
  if (options_.center_input_sample) x = 2 * x - 1;
  x = conv_in_(x);
  std::vector<Tensor> skips = {x};
  for (const auto& block : *down_blocks_) x = block->as<LevelImpl>()->go_down(x, on, skips);
  x = mid_block_->as<MidBlockImpl>()->forward(x, on);
  for (const auto& block : *up_blocks_) x = block->as<LevelImpl>()->go_up(x, on, skips);
  return conv_out_(conv_norm_out_->forward_silu(x)).to(sample.scalar_type());
}

UNetOptions unet_options(const std::filesystem::path& config_json) {
  const nn::ConfigFile config(config_json);
  for (const auto& [key, value] :
       {std::pair("act_fn", "\"silu\""), std::pair("mid_block_type", "\"UNetMidBlock2DCrossAttn\""),
        std::pair("resnet_time_scale_shift", "\"default\""),
        std::pair("time_embedding_type", "\"positional\""),
        std::pair("attention_type", "\"default\""), std::pair("downsample_padding", "1"),
        std::pair("mid_block_scale_factor", "1"), std::pair("resnet_out_scale_factor", "1"),
        std::pair("conv_in_kernel", "3"), std::pair("conv_out_kernel", "3"),
        std::pair("only_cross_attention", "false"),
        std::pair("mid_block_only_cross_attention", "false"),
        std::pair("dual_cross_attention", "false"), std::pair("resnet_skip_time_act", "false"),
        std::pair("class_embeddings_concat", "false")}) {
    config.only(key, value);
  }
  for (const auto* key :
       {"num_attention_heads", "class_embed_type", "num_class_embeds", "addition_embed_type",
        "encoder_hid_dim", "encoder_hid_dim_type", "time_embedding_dim", "time_embedding_act_fn",
        "timestep_post_act", "time_cond_proj_dim", "projection_class_embeddings_input_dim",
        "cross_attention_norm", "reverse_transformer_layers_per_block"}) {
    config.only(key, "null");
  }
  UNetOptions options;
  options.cross_attention_dim = 1280;  // diffusers' default
  config.read_fields(options);
  options.validate(config.name());
  return options;
}

UNet2DConditionModel load_unet(const std::filesystem::path& folder) {
  const nn::WithoutInitialisation scope;
  UNet2DConditionModel model(unet_options(folder / "config.json"));
  load_part(*model, folder);
  return model;
}

void save_unet(const UNet2DConditionModel& model, const std::filesystem::path& folder) {
  auto config = part_config("UNet2DConditionModel");
  const auto& options = model->options();
  config.set_fields(options);
  // diffusers takes these as a list only if it has one for each level.
  if (options.sample_size.size() == 1) config.set("sample_size", options.sample_size[0]);
  if (options.attention_head_dim.size() == 1) {
    config.set("attention_head_dim", options.attention_head_dim[0]);
  }
  if (options.transformer_layers_per_block.size() == 1) {
    config.set("transformer_layers_per_block", options.transformer_layers_per_block[0]);
  }
  save_part(*model, config, folder);
}

}  // namespace rahf::generators
