#include "rahf/generators/autoencoder/coder.h"

#include <algorithm>
#include <string>

#include "rahf/core/error.h"
#include "rahf/core/nn/attention.h"
#include "rahf/core/nn/checkpointing.h"
#include "rahf/core/shapes.h"
#include "rahf/generators/residual_block.h"

namespace rahf::generators {

using nn::Conv2d;
using nn::GroupNorm;
using torch::Tensor;
using torch::nn::Cloneable;
using torch::nn::Conv2dOptions;
using torch::nn::ModuleList;

namespace {

constexpr double kNormEps = 1e-6;

Conv2d conv3x3(std::int64_t in, std::int64_t out) {
  return Conv2d(Conv2dOptions(in, out, 3).padding(1));
}

/// The levels' residual blocks, and what changes the size behind them.
struct LevelImpl : Cloneable<LevelImpl> {
  enum class Then { kNothing, kDown, kUp };
  struct Options {
    std::int64_t in, out, layers, groups;
    Then then;
  };
  explicit LevelImpl(const Options& with) : options(with) { reset(); }
  void reset() override {
    const auto& o = options;
    resnets = register_module("resnets", ModuleList());
    for (std::int64_t i = 0; i < o.layers; ++i) {
      resnets->push_back(ResidualBlock(ResidualBlockOptions{.in_channels = i == 0 ? o.in : o.out,
                                                            .out_channels = o.out,
                                                            .norm_groups = o.groups,
                                                            .norm_eps = kNormEps}));
    }
    if (o.then == Then::kDown) {
      downsamplers = register_module("downsamplers", ModuleList());
      downsamplers->push_back(Downsample(o.out, DownsamplePadding::kRightAndBottom));
    } else if (o.then == Then::kUp) {
      upsamplers = register_module("upsamplers", ModuleList());
      upsamplers->push_back(Upsample(o.out));
    }
  }
  Tensor forward(Tensor x) {
    for (const auto& resnet : *resnets) x = resnet->as<ResidualBlockImpl>()->forward(x);
    if (downsamplers) x = downsamplers->at<DownsampleImpl>(0).forward(x);
    if (upsamplers) {
      x = upsamplers->at<UpsampleImpl>(0).forward(x, 2 * x.size(2), 2 * x.size(3));
    }
    return x;
  }
  Options options;
  ModuleList resnets{nullptr}, downsamplers{nullptr}, upsamplers{nullptr};
};

/// The lowest level: two residual blocks, attention between them.
struct MidBlockImpl : Cloneable<MidBlockImpl> {
  MidBlockImpl(std::int64_t c, std::int64_t g, bool with) : channels(c), groups(g), attend(with) {
    reset();
  }
  void reset() override {
    const ResidualBlockOptions options{.in_channels = channels,
                                       .out_channels = channels,
                                       .norm_groups = groups,
                                       .norm_eps = kNormEps};
    resnets = register_module("resnets", ModuleList());
    resnets->push_back(ResidualBlock(options));
    resnets->push_back(ResidualBlock(options));
    if (attend) {
      attentions = register_module("attentions", ModuleList());
      attentions->push_back(PixelAttention(channels, groups));
    }
  }
  Tensor forward(Tensor x) {
    x = resnets->at<ResidualBlockImpl>(0).forward(x, {});
    if (attend) x = attentions->at<PixelAttentionImpl>(0).forward(x);
    return resnets->at<ResidualBlockImpl>(1).forward(x, {});
  }
  std::int64_t channels, groups;
  bool attend;
  ModuleList resnets{nullptr}, attentions{nullptr};
};

GroupNorm norm(std::int64_t groups, std::int64_t channels) {
  return GroupNorm(nn::GroupNormOptions{.groups = groups, .channels = channels, .eps = kNormEps});
}

/// Runs a block of the given type, kept or recomputed in the backward pass.
template <class Impl>
Tensor run(const std::shared_ptr<torch::nn::Module>& module, const Tensor& x, bool checkpointing) {
  const auto body = [module](const std::vector<Tensor>& in) {
    return module->as<Impl>()->forward(in[0]);
  };
  return checkpointing ? nn::checkpoint(*module, {x}, body) : body({x});
}

}  // namespace

void CoderOptions::validate(std::string_view name) const {
  const auto require = [&](bool holds, const char* rule, auto got) {
    if (holds) return;
    throw ConfigError(std::string(name) + ": " + rule + ", got " + option_text::write(got));
  };
  require(in_channels > 0, "in_channels must be > 0", in_channels);
  require(out_channels > 0, "out_channels must be > 0", out_channels);
  require(latent_channels > 0, "latent_channels must be > 0", latent_channels);
  require(layers_per_block > 0, "layers_per_block must be > 0", layers_per_block);
  require(norm_num_groups > 0, "norm_num_groups must be > 0", norm_num_groups);
  require(!block_out_channels.empty() && block_out_channels.size() <= 16 &&
              std::all_of(block_out_channels.begin(), block_out_channels.end(),
                          [this](auto c) { return c > 0 && c % norm_num_groups == 0; }),
          "block_out_channels must be 1 to 16 multiples of norm_num_groups", block_out_channels);
}

void CoderOptions::check_images(std::string_view where, const Tensor& images) const {
  Shapes(where).check("images", images, {"B", in_channels, "H", "W"});
  for (const auto side : {images.size(2), images.size(3)}) {
    if (side > 0 && side % factor() == 0) continue;
    throw ShapeError(std::string(where) + ": the sides of images must be multiples of " +
                     std::to_string(factor()) + ", got " + std::to_string(images.size(2)) + " x " +
                     std::to_string(images.size(3)));
  }
}

void CoderOptions::check_kind(const nn::ConfigFile& config) {
  config.only("act_fn", "\"silu\"");
  config.only("norm_type", "\"group\"");
  for (const auto& [key, kind] : {std::pair("down_block_types", "DownEncoderBlock2D"),
                                  std::pair("up_block_types", "UpDecoderBlock2D")}) {
    std::vector<std::string> types;
    config.read(key, types);
    for (const auto& type : types) {
      if (type != kind) {
        throw ConfigError(config.name() + ": " + key + " must all be " + kind + ", got " + type);
      }
    }
  }
}

void CoderOptions::write_kind(io::JsonObject& config) const {
  const auto levels = block_out_channels.size();
  config.set("act_fn", "silu");
  config.set("down_block_types", std::vector<std::string>(levels, "DownEncoderBlock2D"));
  config.set("up_block_types", std::vector<std::string>(levels, "UpDecoderBlock2D"));
}

void PixelAttentionImpl::reset() {
  group_norm_ = register_module("group_norm", norm(norm_groups_, channels_));
  to_q_ = register_module("to_q", nn::Linear(channels_, channels_));
  to_k_ = register_module("to_k", nn::Linear(channels_, channels_));
  to_v_ = register_module("to_v", nn::Linear(channels_, channels_));
  to_out_ = register_module("to_out", ModuleList());
  to_out_->push_back(nn::Linear(channels_, channels_));
}

Tensor PixelAttentionImpl::forward(const Tensor& x) {
  const auto tokens = group_norm_->forward(x).permute({0, 2, 3, 1}).flatten(1, 2);  // [B, h w, C]
  const auto attended = nn::merge_heads(nn::attention(nn::split_heads(to_q_(tokens), 1),
                                                      nn::split_heads(to_k_(tokens), 1),
                                                      nn::split_heads(to_v_(tokens), 1)));
  const auto y = to_out_->at<nn::LinearImpl>(0).forward(attended);
  return x + y.unflatten(1, {x.size(2), x.size(3)}).permute({0, 3, 1, 2});
}

void EncoderImpl::reset() {
  const auto& channels = options_.block_out_channels;
  conv_in_ = register_module("conv_in", conv3x3(options_.in_channels, channels.front()));
  down_blocks_ = register_module("down_blocks", ModuleList());
  for (std::size_t i = 0; i < channels.size(); ++i) {
    const bool last = i + 1 == channels.size();
    down_blocks_->push_back(std::make_shared<LevelImpl>(
        LevelImpl::Options{.in = channels[i == 0 ? 0 : i - 1],
                           .out = channels[i],
                           .layers = options_.layers_per_block,
                           .groups = options_.norm_num_groups,
                           .then = last ? LevelImpl::Then::kNothing : LevelImpl::Then::kDown}));
  }
  mid_block_ = register_module(
      "mid_block", std::make_shared<MidBlockImpl>(channels.back(), options_.norm_num_groups,
                                                  options_.mid_block_add_attention));
  conv_norm_out_ =
      register_module("conv_norm_out", norm(options_.norm_num_groups, channels.back()));
  conv_out_ = register_module("conv_out", conv3x3(channels.back(), out_channels_));
}

Tensor EncoderImpl::forward(const Tensor& images) {
  auto x = conv_in_(images.contiguous(at::MemoryFormat::ChannelsLast));
  for (const auto& block : *down_blocks_) x = run<LevelImpl>(block, x, checkpointing_);
  x = run<MidBlockImpl>(mid_block_, x, checkpointing_);
  return conv_out_(conv_norm_out_->forward_silu(x));
}

void DecoderImpl::reset() {
  const auto& channels = options_.block_out_channels;
  conv_in_ = register_module("conv_in", conv3x3(options_.latent_channels, channels.back()));
  mid_block_ = register_module(
      "mid_block", std::make_shared<MidBlockImpl>(channels.back(), options_.norm_num_groups,
                                                  options_.mid_block_add_attention));
  up_blocks_ = register_module("up_blocks", ModuleList());
  for (std::size_t i = channels.size(); i-- > 0;) {
    up_blocks_->push_back(std::make_shared<LevelImpl>(
        LevelImpl::Options{.in = channels[std::min(i + 1, channels.size() - 1)],
                           .out = channels[i],
                           .layers = options_.layers_per_block + 1,
                           .groups = options_.norm_num_groups,
                           .then = i == 0 ? LevelImpl::Then::kNothing : LevelImpl::Then::kUp}));
  }
  conv_norm_out_ =
      register_module("conv_norm_out", norm(options_.norm_num_groups, channels.front()));
  conv_out_ = register_module("conv_out", conv3x3(channels.front(), options_.out_channels));
}

Tensor DecoderImpl::forward(const Tensor& latents) {
  auto x = conv_in_(latents.contiguous(at::MemoryFormat::ChannelsLast));
  x = run<MidBlockImpl>(mid_block_, x, checkpointing_);
  for (const auto& block : *up_blocks_) x = run<LevelImpl>(block, x, checkpointing_);
  return conv_out_(conv_norm_out_->forward_silu(x));
}

}  // namespace rahf::generators
