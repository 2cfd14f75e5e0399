#include "rahf/generators/residual_block.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/upsample_nearest2d.h>

namespace rahf::generators {

using nn::Conv2d;
using torch::Tensor;
using torch::nn::Conv2dOptions;

Tensor sum_with_temporary(Tensor temporary, const Tensor& x) {
  const bool in_place = !at::GradMode::is_enabled() && temporary.scalar_type() == x.scalar_type();
  return in_place ? temporary.add_(x) : temporary + x;
}

void ResidualBlockImpl::reset() {
  const auto in = options_.in_channels, out = options_.out_channels;
  const auto norm = [this](std::int64_t channels) {
    return nn::GroupNorm(nn::GroupNormOptions{
        .groups = options_.norm_groups, .channels = channels, .eps = options_.norm_eps});
  };
  norm1_ = register_module("norm1", norm(in));
  conv1_ = register_module("conv1", Conv2d(Conv2dOptions(in, out, 3).padding(1)));
  if (options_.time_channels > 0) {
    time_emb_proj_ = register_module("time_emb_proj", nn::Linear(options_.time_channels, out));
  }
  norm2_ = register_module("norm2", norm(out));
  conv2_ = register_module("conv2", Conv2d(Conv2dOptions(out, out, 3).padding(1)));
  if (in != out) conv_shortcut_ = register_module("conv_shortcut", Conv2d(in, out, 1));
}

Tensor ResidualBlockImpl::forward(const Tensor& x, const Tensor& time) {
  auto h = conv1_(norm1_->forward_silu(x));  // [B, out, H, W]
  if (time_emb_proj_) h = sum_with_temporary(h, time_emb_proj_(time).unsqueeze(-1).unsqueeze(-1));
  h = norm2_->forward_silu(h);
  if (options_.dropout > 0) h = torch::dropout(h, options_.dropout, is_training());
  h = conv2_(h);
  return sum_with_temporary(h, conv_shortcut_ ? conv_shortcut_(x) : x);
}

void DownsampleImpl::reset() {
  const bool around = padding_ == DownsamplePadding::kAround;
  conv_ = register_module(
      "conv", Conv2d(Conv2dOptions(channels_, channels_, 3).stride(2).padding(around ? 1 : 0)));
}

Tensor DownsampleImpl::forward(const Tensor& x) {
  if (padding_ == DownsamplePadding::kAround) return conv_(x);
  return conv_(torch::constant_pad_nd(x, {0, 1, 0, 1}));
}

void UpsampleImpl::reset() {
  conv_ = register_module("conv", Conv2d(Conv2dOptions(channels_, channels_, 3).padding(1)));
}

Tensor UpsampleImpl::forward(const Tensor& x, std::int64_t height, std::int64_t width) {
  return conv_(at::upsample_nearest2d(x, {height, width}));
}

}  // namespace rahf::generators
