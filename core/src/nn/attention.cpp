#include "rahf/core/nn/attention.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>

#include <cmath>
#include <limits>
#include <optional>

namespace rahf::nn {

torch::Tensor attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                        const torch::Tensor& bias, const AttentionOptions& options) {
  // LibTorch has no fast path for a bias that learns, and its slow one tests every row for being
  // wholly masked, at twice the time of the plain formula. Its fast path's backward pass in bf16 on
  // a CPU is slower than the plain formula, too (three times at 73 tokens, a third at 577).
  const bool learned_bias = bias.defined() && bias.requires_grad();
  const bool slow_backward = q.scalar_type() == torch::kBFloat16 && q.requires_grad();
  if (at::GradMode::is_enabled() && q.is_cpu() && (learned_bias || slow_backward)) {
    const double scale = options.scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1))));
    const auto scores = torch::matmul(scale == 1 ? q : q * scale, k.transpose(-2, -1));
    auto biased = scores.to(at::promote_types(scores.scalar_type(), at::kFloat));
    if (bias.defined()) biased = biased + bias;
    auto shares = torch::softmax(biased, -1);  // [B, H, Q, K]
    if (options.dropout > 0) shares = torch::dropout(shares, options.dropout, /*train=*/true);
    return torch::matmul(shares.to(v.scalar_type()), v);
  }
  const auto mask = bias.defined() ? std::optional(bias.to(q.scalar_type())) : std::nullopt;
  return at::scaled_dot_product_attention(q, k, v, mask, options.dropout, /*is_causal=*/false,
                                          options.scale);
}

torch::Tensor split_heads(const torch::Tensor& x, std::int64_t heads) {
  return x.unflatten(-1, {heads, x.size(-1) / heads}).transpose(-3, -2);
}

torch::Tensor merge_heads(const torch::Tensor& x) { return x.transpose(-3, -2).flatten(-2); }

torch::Tensor mask_bias(const torch::Tensor& keep) {
  return torch::zeros(keep.sizes(), keep.options().dtype(torch::kFloat))
      .masked_fill_(keep.logical_not(),
                    static_cast<float>(std::numeric_limits<c10::BFloat16>::lowest()));
}

}  // namespace rahf::nn
