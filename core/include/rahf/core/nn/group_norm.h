#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

namespace rahf::nn {

struct GroupNormOptions {
  std::int64_t groups = 32;   ///< > 0, divides channels.
  std::int64_t channels = 0;  ///< C
  double eps = 1e-5;          ///< Added to the variance; > 0.
};

/// Group norm of maps (Wu and He 2018, arXiv 1803.08494), with silu behind it on request:
///
///     z = (x - mean) / sqrt(variance + eps) * weight + bias;  silu(z) = z / (1 + exp(-z))
///
/// mean and variance (of the population) over a group's channels and all pixels of one sample.
/// Parameters `weight` and `bias`, [C], start at 1 and 0.
///
/// f32 on a CPU is computed in one go, channels last, and keeps x alone for the backward pass;
/// elsewhere LibTorch's operators are composed. Gradients of gradients work in either case.
class GroupNormImpl : public torch::nn::Cloneable<GroupNormImpl> {
 public:
  explicit GroupNormImpl(const GroupNormOptions& options);
  void reset() override;
  /// @param x  [B, C, H, W]  @return the same shape, z; channels last where x is that or on a CPU
  torch::Tensor forward(const torch::Tensor& x);
  /// silu(z)
  torch::Tensor forward_silu(const torch::Tensor& x);

 private:
  GroupNormOptions options_;
  torch::Tensor weight_, bias_;
};
TORCH_MODULE(GroupNorm);

}  // namespace rahf::nn
