#include "rahf/core/nn/layers.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>

#include <cmath>

#include "initialisation.h"

namespace rahf::nn {

namespace {

thread_local int without_initialisation = 0;

/// The start that torch::nn's layers have.
void initialise(torch::Tensor& weight, torch::Tensor& bias) {
  if (!initialising()) return;
  const torch::NoGradGuard no_grad;
  const double bound = 1 / std::sqrt(static_cast<double>(weight[0].numel()));
  weight.uniform_(-bound, bound);
  if (bias.defined()) bias.uniform_(-bound, bound);
}

at::IntArrayRef padding(const torch::nn::Conv2dOptions& options) {
  return *std::get<torch::ExpandingArray<2>>(options.padding());
}

}  // namespace

bool initialising() { return without_initialisation == 0; }

WithoutInitialisation::WithoutInitialisation() { ++without_initialisation; }
WithoutInitialisation::~WithoutInitialisation() { --without_initialisation; }

void LinearImpl::reset() {
  weight =
      register_parameter("weight", torch::empty({options.out_features(), options.in_features()}));
  bias = options.bias() ? register_parameter("bias", torch::empty({options.out_features()}))
                        : register_parameter("bias", {}, /*requires_grad=*/false);
  initialise(weight, bias);
}

torch::Tensor LinearImpl::forward(const torch::Tensor& x) {
  auto y = torch::linear(x, weight, bias);
  for (const auto& one : adapters) {
    if (one.scale == 0) continue;
    y = y + one.scale * torch::linear(torch::linear(x, one.down), one.up);
  }
  return y;
}

void Conv2dImpl::reset() {
  const auto& kernel = *options.kernel_size();
  weight = register_parameter(
      "weight", torch::empty({options.out_channels(), options.in_channels() / options.groups(),
                              kernel[0], kernel[1]},
                             at::MemoryFormat::ChannelsLast));
  bias = options.bias() ? register_parameter("bias", torch::empty({options.out_channels()}))
                        : register_parameter("bias", {}, /*requires_grad=*/false);
  initialise(weight, bias);
}

torch::Tensor Conv2dImpl::forward(const torch::Tensor& x) {
  auto y = torch::conv2d(x, weight, bias, options.stride(), padding(options), options.dilation(),
                         options.groups());
  for (const auto& one : adapters) {
    if (one.scale == 0) continue;
    const auto low = torch::conv2d(x, one.down, {}, options.stride(), padding(options),
                                   options.dilation(), options.groups());
    y = y + one.scale * torch::conv2d(low, one.up);
  }
  return y;
}

}  // namespace rahf::nn
