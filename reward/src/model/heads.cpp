#include "rahf/reward/model/heads.h"

#include <string>

#include "rahf/core/nn/rms_norm.h"

namespace rahf::reward {
namespace {

void require_positive(std::string_view name, const char* field,
                      const std::vector<std::int64_t>& values, bool may_be_empty) {
  bool ok = may_be_empty || !values.empty();
  for (const auto value : values) ok = ok && value > 0;
  if (ok) return;
  throw ConfigError(std::string(name) + "." + field + " = " + option_text::write(values) +
                    ", must be " + (may_be_empty ? "" : "one or more ") + "numbers > 0");
}

torch::nn::Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel,
                       std::int64_t padding) {
  return torch::nn::Conv2d(torch::nn::Conv2dOptions(in, out, kernel).padding(padding));
}

// Norms and logits are f32 under half precision, too.
torch::Tensor at_least_float(const torch::Tensor& x) {
  return x.to(at::promote_types(x.scalar_type(), torch::kFloat));
}

torch::Tensor norm_at(const torch::nn::ModuleList& norms, std::size_t i, const torch::Tensor& x) {
  return norms->ptr(i)->as<ChannelNormImpl>()->forward(x);
}

torch::Tensor conv_at(const torch::nn::ModuleList& convs, std::size_t i, const torch::Tensor& x) {
  return convs->ptr(i)->as<torch::nn::Conv2dImpl>()->forward(x);
}

}  // namespace

void HeatmapHeadOptions::validate(std::string_view name) const {
  require_positive(name, "entry", entry, false);
  require_positive(name, "stages", stages, true);
  require_positive(name, "readout", {readout}, false);
  if (stage_convs < 0) {
    throw ConfigError(std::string(name) + ".stage_convs = " + std::to_string(stage_convs) +
                      ", must be >= 0");
  }
}

void ScoreHeadOptions::validate(std::string_view name) const {
  require_positive(name, "channels", channels, false);
  require_positive(name, "hidden", hidden, true);
}

ChannelNormImpl::ChannelNormImpl(std::int64_t channels, HeadDesign design)
    : channels_(channels), design_(design) {
  reset();
}

void ChannelNormImpl::reset() {
  weight_ = register_parameter("weight", torch::ones({channels_}));
  if (design_ == HeadDesign::kPlain) bias_ = register_parameter("bias", torch::zeros({channels_}));
}

torch::Tensor ChannelNormImpl::forward(const torch::Tensor& x) {
  const auto last = at_least_float(x).permute({0, 2, 3, 1});  // [B, h, w, C]
  const auto normal = design_ == HeadDesign::kPlain
                          ? at::layer_norm(last, {channels_}, weight_, bias_, 1e-6)
                          : nn::rms_norm(last, weight_, 1e-8);
  return normal.permute({0, 3, 1, 2});
}

HeatmapHeadImpl::HeatmapHeadImpl(std::int64_t width, HeatmapHeadOptions options)
    : width_(width), options_(std::move(options)) {
  options_.validate("heatmap_head");
  reset();
}

void HeatmapHeadImpl::reset() {
  entry_ = register_module("entry", torch::nn::ModuleList());
  entry_norms_ = register_module("entry_norms", torch::nn::ModuleList());
  up_ = register_module("up", torch::nn::ModuleList());
  up_norms_ = register_module("up_norms", torch::nn::ModuleList());
  convs_ = register_module("convs", torch::nn::ModuleList());
  conv_norms_ = register_module("conv_norms", torch::nn::ModuleList());

  auto channels = width_;
  for (const auto out : options_.entry) {
    entry_->push_back(conv(channels, out, 3, 1));
    entry_norms_->push_back(ChannelNorm(out, options_.design));
    channels = out;
  }
  for (const auto out : options_.stages) {
    up_->push_back(torch::nn::ConvTranspose2d(torch::nn::ConvTranspose2dOptions(channels, out, 3)
                                                  .stride(2)
                                                  .padding(1)
                                                  .output_padding(1)));
    up_norms_->push_back(ChannelNorm(out, options_.design));
    for (std::int64_t i = 0; i < options_.stage_convs; ++i) {
      convs_->push_back(conv(out, out, 3, 1));
      conv_norms_->push_back(ChannelNorm(out, options_.design));
    }
    channels = out;
  }
  readout_ = register_module("readout", conv(channels, options_.readout, 3, 1));
  last_ = register_module("last", conv(options_.readout, 1, 3, 1));
  torch::NoGradGuard no_grad;
  last_->bias.fill_(options_.initial_logit);
}

torch::Tensor HeatmapHeadImpl::forward(const torch::Tensor& features) {
  const bool residual = options_.design == HeadDesign::kResidual;
  auto x = features.contiguous(torch::MemoryFormat::ChannelsLast);
  for (std::size_t i = 0; i < entry_->size(); ++i) {
    x = conv_at(entry_, i, x);
    // The first author's entry applies the norm after the non-linearity, unlike all the rest.
    x = residual ? norm_at(entry_norms_, i, torch::relu(x))
                 : torch::relu(norm_at(entry_norms_, i, x));
  }
  const auto num_convs = static_cast<std::size_t>(options_.stage_convs);
  for (std::size_t stage = 0; stage < up_->size(); ++stage) {
    x = up_[stage]->as<torch::nn::ConvTranspose2dImpl>()->forward(x);
    x = torch::relu(norm_at(up_norms_, stage, x));
    if (num_convs == 0) continue;
    auto y = x;
    for (std::size_t i = 0; i < num_convs; ++i) {
      const auto k = stage * num_convs + i;
      y = norm_at(conv_norms_, k, conv_at(convs_, k, y));
      if (!residual || i + 1 < num_convs) y = torch::relu(y);
    }
    x = residual ? torch::relu(x + y) : y;
  }
  x = last_->forward(torch::relu(readout_->forward(x)));  // [B, 1, H, W]
  return at_least_float(x.squeeze(1));
}

ScoreHeadImpl::ScoreHeadImpl(std::int64_t width, std::int64_t grid, ScoreHeadOptions options)
    : width_(width), grid_(grid), options_(std::move(options)) {
  options_.validate("score_head");
  reset();
}

void ScoreHeadImpl::reset() {
  convs_ = register_module("convs", torch::nn::ModuleList());
  norms_ = register_module("norms", torch::nn::ModuleList());
  linears_ = register_module("linears", torch::nn::ModuleList());
  const bool plain = options_.design == HeadDesign::kPlain;
  auto channels = width_;
  auto size = grid_;
  for (const auto out : options_.channels) {
    convs_->push_back(plain ? conv(channels, out, 2, 0) : conv(channels, out, 3, 1));
    norms_->push_back(ChannelNorm(out, options_.design));
    channels = out;
    if (plain) --size;
  }
  if (size < 1) {
    throw ConfigError("score_head.channels: " + std::to_string(options_.channels.size()) +
                      " convolutions without padding leave nothing of a grid of " +
                      std::to_string(grid_));
  }
  auto features = channels * size * size;
  for (const auto out : options_.hidden) {
    linears_->push_back(torch::nn::Linear(features, out));
    features = out;
  }
  linears_->push_back(torch::nn::Linear(features, 1));
}

torch::Tensor ScoreHeadImpl::forward(const torch::Tensor& features) {
  auto x = features.contiguous(torch::MemoryFormat::ChannelsLast);
  for (std::size_t i = 0; i < convs_->size(); ++i) {
    x = torch::relu(norm_at(norms_, i, conv_at(convs_, i, x)));
  }
  x = x.flatten(1);  // channel-major, [B, C * h * w]
  for (std::size_t i = 0; i < linears_->size(); ++i) {
    if (i > 0) x = torch::relu(x);
    x = linears_[i]->as<torch::nn::LinearImpl>()->forward(x);
  }
  return at_least_float(x.squeeze(1));  // [B]
}

}  // namespace rahf::reward
