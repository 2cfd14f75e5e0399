#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

namespace rahf::nn {

/// x / sqrt(mean(x^2) + eps) * weight over the last axis, no mean taken off and no bias (Zhang and
/// Sennrich 2019, arXiv 1910.07467). The mean is in f32 under every element type but f64.
///
/// f32 on a CPU is one pass forward and one backward; elsewhere LibTorch's operators are composed.
/// @param x       [..., C]
/// @param weight  [C]
/// @return        the shape of x, in the weight's element type
torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps);

/// rms_norm() with a learned weight that starts at one.
class RmsNormImpl : public torch::nn::Cloneable<RmsNormImpl> {
 public:
  RmsNormImpl(std::int64_t width, double eps) : width_(width), eps_(eps) { reset(); }
  void reset() override;
  /// @param x  [..., width]
  torch::Tensor forward(const torch::Tensor& x);

 private:
  std::int64_t width_;
  double eps_;
  torch::Tensor weight_;
};
TORCH_MODULE(RmsNorm);

}  // namespace rahf::nn
