#include "rahf/core/nn/rms_norm.h"

namespace rahf::nn {

void RmsNormImpl::reset() { weight_ = register_parameter("weight", torch::ones({width_})); }

torch::Tensor RmsNormImpl::forward(const torch::Tensor& x) {
  const auto wide = x.to(torch::kFloat);
  const auto normed = wide * torch::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps_);
  return weight_ * normed.to(weight_.scalar_type());
}

}  // namespace rahf::nn
