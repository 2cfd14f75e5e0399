#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/options/conv.h>
#include <torch/nn/options/linear.h>
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

/// While one lives, layers that its thread builds leave their weights uninitialised: memory that is
/// about to be loaded is not touched before. It costs nothing then to build a model of gigabytes.
class WithoutInitialisation {
 public:
  WithoutInitialisation();
  ~WithoutInitialisation();
  WithoutInitialisation(const WithoutInitialisation&) = delete;
  WithoutInitialisation& operator=(const WithoutInitialisation&) = delete;
};

/// torch::nn::Linear that takes adapters. Parameters: `weight` [out, in], `bias` [out], which start
/// uniform in +-1/sqrt(in).
class LinearImpl : public torch::nn::Cloneable<LinearImpl> {
 public:
  LinearImpl(std::int64_t in, std::int64_t out) : LinearImpl(torch::nn::LinearOptions(in, out)) {}
  explicit LinearImpl(const torch::nn::LinearOptions& with) : options(with) { reset(); }
  void reset() override;
  /// @param x  [..., in]  @return [..., out]
  torch::Tensor forward(const torch::Tensor& x);

  torch::nn::LinearOptions options;
  torch::Tensor weight, bias;  ///< `bias` is undefined without one.
  std::vector<Adapter> adapters;
};
TORCH_MODULE(Linear);

/// torch::nn::Conv2d (zero padding in pixels) that takes adapters. Parameters: `weight`
/// [out, in / groups, kh, kw], `bias` [out], which start uniform in +-1/sqrt(in / groups kh kw).
class Conv2dImpl : public torch::nn::Cloneable<Conv2dImpl> {
 public:
  Conv2dImpl(std::int64_t in, std::int64_t out, torch::ExpandingArray<2> kernel)
      : Conv2dImpl(torch::nn::Conv2dOptions(in, out, kernel)) {}
  explicit Conv2dImpl(const torch::nn::Conv2dOptions& with) : options(with) { reset(); }
  void reset() override;
  /// @param x  [B, in, H, W]  @return [B, out, H', W']
  torch::Tensor forward(const torch::Tensor& x);

  torch::nn::Conv2dOptions options;
  torch::Tensor weight, bias;  ///< `bias` is undefined without one.
  std::vector<Adapter> adapters;
};
TORCH_MODULE(Conv2d);

}  // namespace rahf::nn
