#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>

namespace rahf::nn {

struct AttentionOptions {
  std::optional<double> scale = {};  ///< Factor on the scores; nothing is 1/sqrt(d). T5: 1.
  double dropout = 0;                ///< Share of attention weights dropped, in [0, 1).
};

/// softmax(scale q k^T + bias) v, the only attention of this library. The softmax is in f32 under
/// every element type.
///
/// Computed by LibTorch's fused kernels, but step by step where the bias needs a gradient on the
/// CPU: there the fused call is the slower one (B = 32, 4 heads, 90 tokens of width 32, forward and
/// backward on one thread: 21 against 16 ms; without such a bias 13 against 19).
/// @param q     [B, H, Q, d]
/// @param k     [B, H, K, d]
/// @param v     [B, H, K, d]
/// @param bias  [B, H, Q, K], each but K may be 1 instead; added to the scores: mask_bias(), or a
///              learned one, which may need a gradient. Undefined adds nothing.
/// @return      [B, H, Q, d], in the element type of q
torch::Tensor attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                        const torch::Tensor& bias = {}, const AttentionOptions& options = {});

/// [B, N, H d] -> [B, H, N, d]
torch::Tensor split_heads(const torch::Tensor& x, std::int64_t heads);
/// [B, H, N, d] -> [B, N, H d]
torch::Tensor merge_heads(const torch::Tensor& x);

/// What attention() adds so that positions are passed over: 0 where `keep`, else the lowest finite
/// bf16, so that a query which may look nowhere gets the mean of all values and never NaN.
/// @param keep  Bool  @return the same shape, f32
torch::Tensor mask_bias(const torch::Tensor& keep);

}  // namespace rahf::nn
