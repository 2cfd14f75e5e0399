#include "rahf/generators/transformer_layers.h"

#include <ATen/ops/gelu.h>
#include <torch/nn/modules/container/modulelist.h>

#include "rahf/core/nn/attention.h"

namespace rahf::generators {

using nn::Linear;
using torch::Tensor;
using torch::nn::LinearOptions;
using torch::nn::ModuleList;

namespace {

/// Gives a layer the name that diffusers' activation has around it.
struct ProjectionImpl : torch::nn::Module {
  explicit ProjectionImpl(const Linear& layer) { register_module("proj", layer); }
};

}  // namespace

void AttentionLayerImpl::reset() {
  const auto width = options_.width;
  const auto context = options_.context_width > 0 ? options_.context_width : width;
  to_q_ = register_module("to_q", Linear(LinearOptions(width, width).bias(false)));
  to_k_ = register_module("to_k", Linear(LinearOptions(context, width).bias(false)));
  to_v_ = register_module("to_v", Linear(LinearOptions(context, width).bias(false)));
  to_out_ = Linear(LinearOptions(width, width).bias(options_.output_bias));
  register_module("to_out", ModuleList())->push_back(to_out_);
}

Tensor AttentionLayerImpl::forward(const Tensor& x, const Tensor& context) {
  const auto heads = [this](const Tensor& tokens) {
    return nn::split_heads(options_.upcast ? tokens.to(torch::kFloat) : tokens, options_.heads);
  };
  const auto attended =
      nn::attention(heads(to_q_(x)), heads(to_k_(context)), heads(to_v_(context)));  // [B, H, N, d]
  return to_out_(nn::merge_heads(attended).to(x.scalar_type()));
}

void GatedFeedForwardImpl::reset() {
  const auto& o = options_;
  in_ = Linear(LinearOptions(o.width, 2 * o.hidden).bias(o.bias));
  out_ = Linear(LinearOptions(o.hidden, o.width).bias(o.bias));
  auto net = register_module("net", ModuleList());
  net->push_back(std::make_shared<ProjectionImpl>(in_));
  net->push_back(std::make_shared<torch::nn::Module>());  // a dropout there
  net->push_back(out_);
}

Tensor GatedFeedForwardImpl::forward(const Tensor& x) {
  const auto halves = in_(x).chunk(2, -1);
  return out_(halves[0] * torch::gelu(halves[1]));
}

}  // namespace rahf::generators
