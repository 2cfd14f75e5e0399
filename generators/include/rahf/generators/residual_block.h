#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "rahf/core/nn/group_norm.h"
#include "rahf/core/nn/layers.h"

// The convolution blocks that autoencoders and the UNet are made of, with diffusers' parameter
// names. All of them keep the memory format of what they are given.

namespace rahf::generators {

struct ResidualBlockOptions {
  std::int64_t in_channels = 0;
  std::int64_t out_channels = 0;
  std::int64_t time_channels = 0;  ///< E, channels of the time embedding; 0 is without.
  std::int64_t norm_groups = 32;   ///< Divides in_channels and out_channels.
  double norm_eps = 1e-6;
  double dropout = 0;
};

/// Two convolutions around an identity (diffusers' ResnetBlock2D):
///
///     h = conv1(silu(norm1(x)));  h += W time;  h = conv2(silu(norm2(h)));  shortcut(x) + h
class ResidualBlockImpl : public torch::nn::Cloneable<ResidualBlockImpl> {
 public:
  explicit ResidualBlockImpl(const ResidualBlockOptions& options) : options_(options) { reset(); }
  void reset() override;
  /// @param x     [B, in_channels, H, W]
  /// @param time  [B, E] the time embedding after its activation, or undefined without
  /// @return      [B, out_channels, H, W]
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& time = {});

 private:
  ResidualBlockOptions options_;
  nn::GroupNorm norm1_{nullptr}, norm2_{nullptr};
  nn::Conv2d conv1_{nullptr}, conv2_{nullptr}, conv_shortcut_{nullptr};
  nn::Linear time_emb_proj_{nullptr};
};
TORCH_MODULE(ResidualBlock);

enum class DownsamplePadding {
  kAround,          ///< One pixel on each side, as in the UNet.
  kRightAndBottom,  ///< One pixel there alone, as in autoencoders.
};

/// [B, C, H, W] -> [B, C, (H + 1) / 2, ...] by a 3 x 3 convolution of stride 2; H / 2, rounded
/// down, where padding is on the right and bottom alone.
class DownsampleImpl : public torch::nn::Cloneable<DownsampleImpl> {
 public:
  DownsampleImpl(std::int64_t channels, DownsamplePadding padding)
      : channels_(channels), padding_(padding) {
    reset();
  }
  void reset() override;
  torch::Tensor forward(const torch::Tensor& x);

 private:
  std::int64_t channels_;
  DownsamplePadding padding_;
  nn::Conv2d conv_{nullptr};
};
TORCH_MODULE(Downsample);

/// [B, C, h, w] -> [B, C, H, W]: each pixel repeated, then a 3 x 3 convolution.
class UpsampleImpl : public torch::nn::Cloneable<UpsampleImpl> {
 public:
  explicit UpsampleImpl(std::int64_t channels) : channels_(channels) { reset(); }
  void reset() override;
  /// @param height, width  of the result, as a rule twice those of x
  torch::Tensor forward(const torch::Tensor& x, std::int64_t height, std::int64_t width);

 private:
  std::int64_t channels_;
  nn::Conv2d conv_{nullptr};
};
TORCH_MODULE(Upsample);

/// temporary + x, in the place of the first where no gradient is recorded. For what nothing else
/// holds.
torch::Tensor sum_with_temporary(torch::Tensor temporary, const torch::Tensor& x);

}  // namespace rahf::generators
