#include "rahf/core/nn/layers.h"

#include <torch/nn/functional.h>

namespace rahf::nn {

torch::Tensor LinearImpl::forward(const torch::Tensor& x) {
  auto y = torch::nn::LinearImpl::forward(x);
  for (const auto& one : adapters) {
    if (one.scale == 0) continue;
    y = y + one.scale * torch::linear(torch::linear(x, one.down), one.up);
  }
  return y;
}

torch::Tensor Conv2dImpl::forward(const torch::Tensor& x) {
  auto y = torch::nn::Conv2dImpl::forward(x);
  for (const auto& one : adapters) {
    if (one.scale == 0) continue;
    const auto low = torch::conv2d(x, one.down, {}, options.stride(),
                                   std::get<torch::ExpandingArray<2>>(options.padding()),
                                   options.dilation(), options.groups());
    y = y + one.scale * torch::conv2d(low, one.up);
  }
  return y;
}

}  // namespace rahf::nn
