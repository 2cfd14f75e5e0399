#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "rahf/core/nn/layers.h"

// The layers of a transformer block, with diffusers' parameter names.

namespace rahf::generators {

struct AttentionLayerOptions {
  std::int64_t width = 0;          ///< D, channels of a token; a multiple of heads.
  std::int64_t context_width = 0;  ///< Channels of a context token; 0 is `width`.
  std::int64_t heads = 1;
  bool output_bias = true;
  bool upcast = false;  ///< Scores and their sums in f32 whatever the element type.
};

/// Multi-head attention of tokens to themselves or to a context (diffusers' Attention): layers
/// `to_q`, `to_k`, `to_v` without bias and `to_out.0`.
class AttentionLayerImpl : public torch::nn::Cloneable<AttentionLayerImpl> {
 public:
  explicit AttentionLayerImpl(const AttentionLayerOptions& options) : options_(options) { reset(); }
  void reset() override;
  /// @param x        [B, N, D]
  /// @param context  [B, M, context_width], or x for self-attention
  /// @return         [B, N, D]
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& context);

 private:
  AttentionLayerOptions options_;
  nn::Linear to_q_{nullptr}, to_k_{nullptr}, to_v_{nullptr}, to_out_{nullptr};
};
TORCH_MODULE(AttentionLayer);

struct GatedFeedForwardOptions {
  std::int64_t width = 0;   ///< D
  std::int64_t hidden = 0;  ///< Channels between the layers.
  bool bias = true;
};

/// h, gate = halves of W0 x;  W2 (h gelu(gate))  (GEGLU, Shazeer 2020, arXiv 2002.05202): layers
/// `net.0.proj` and `net.2`.
class GatedFeedForwardImpl : public torch::nn::Cloneable<GatedFeedForwardImpl> {
 public:
  explicit GatedFeedForwardImpl(const GatedFeedForwardOptions& options) : options_(options) {
    reset();
  }
  void reset() override;
  /// @param x  [..., D]  @return the same shape
  torch::Tensor forward(const torch::Tensor& x);

 private:
  GatedFeedForwardOptions options_;
  nn::Linear in_{nullptr}, out_{nullptr};
};
TORCH_MODULE(GatedFeedForward);

}  // namespace rahf::generators
