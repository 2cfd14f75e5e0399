#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <string>
#include <vector>

namespace rahf::nn {

/// A low-rank update of a layer's weight (Hu et al. 2021, arXiv 2106.09685): adds
/// `scale * up(down(x))` to what the layer gives.
struct Adapter {
  std::string name;    ///< Of the adapter that this is a part of.
  torch::Tensor down;  ///< [r, in], of a convolution [r, in / groups, kh, kw]
  torch::Tensor up;    ///< [out, r], of a convolution [out, r, 1, 1]
  double scale = 1;    ///< alpha / r times the adapter's weight; 0 is off.
};

/// torch::nn::Linear that takes adapters. Parameters: `weight`, `bias`.
class LinearImpl : public torch::nn::LinearImpl {
 public:
  using torch::nn::LinearImpl::LinearImpl;
  /// @param x  [..., in]  @return [..., out]
  torch::Tensor forward(const torch::Tensor& x);

  std::vector<Adapter> adapters;
};
TORCH_MODULE(Linear);

/// torch::nn::Conv2d that takes adapters. Parameters: `weight`, `bias`.
class Conv2dImpl : public torch::nn::Conv2dImpl {
 public:
  using torch::nn::Conv2dImpl::Conv2dImpl;
  /// @param x  [B, in, H, W]  @return [B, out, H', W']
  torch::Tensor forward(const torch::Tensor& x);

  std::vector<Adapter> adapters;
};
TORCH_MODULE(Conv2d);

}  // namespace rahf::nn
