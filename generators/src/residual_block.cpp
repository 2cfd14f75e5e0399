#include "rahf/generators/residual_block.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/kron.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_nearest2d.h>

namespace rahf::generators {

using nn::Conv2d;
using torch::Tensor;
using torch::nn::Conv2dOptions;

namespace {

/// The 3 x 3 convolution of x with each pixel repeated twice each way. Three rows of it see two of
/// x only: weights of rows that see the same one are added up before, which leaves 4 of 9 products.
/// @param x  [B, C, h, w]  @return [B, C, 2 h, 2 w], channels last
Tensor doubled(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const auto out = weight.size(0), in = weight.size(1), h = x.size(2), w = x.size(3);
  // [row of the result modulo 2, row of x, row of the kernel]
  const auto rows = torch::tensor({1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1}, torch::kFloat).view({4, 3});
  const auto mix = at::kron(rows, rows);                                   // [16, 9]
  const auto kernel = weight.permute({0, 2, 3, 1}).reshape({out, 9, in});  // [C, 9, C]
  const auto four = torch::matmul(mix, kernel.to(torch::kFloat))           // [C, 16, C]
                        .view({out, 2, 2, 2, 2, in})
                        .permute({1, 3, 0, 2, 4, 5})  // [row, column, C, 2, 2, C]
                        .reshape({4 * out, 2, 2, in})
                        .permute({0, 3, 1, 2})
                        .to(weight.scalar_type());
  const auto y = torch::conv2d(x, four, bias.repeat({4}), 1, 1);  // [B, 4 C, h + 1, w + 1]
  auto result =
      torch::empty({x.size(0), out, 2 * h, 2 * w}, y.options(), at::MemoryFormat::ChannelsLast);
  for (std::int64_t row = 0; row < 2; ++row) {
    for (std::int64_t column = 0; column < 2; ++column) {
      result.slice(2, row, {}, 2)
          .slice(3, column, {}, 2)
          .copy_(y.narrow(1, (2 * row + column) * out, out).narrow(2, row, h).narrow(3, column, w));
    }
  }
  return result;
}

}  // namespace

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
  const bool twice = height == 2 * x.size(2) && width == 2 * x.size(3);
  if (twice && x.is_cpu() && conv_->adapters.empty() && !at::GradMode::is_enabled()) {
    return doubled(x, conv_->weight, conv_->bias);
  }
  return conv_(at::upsample_nearest2d(x, {height, width}));
}

}  // namespace rahf::generators
