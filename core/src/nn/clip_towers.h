#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/normalization.h>

#include "rahf/core/nn/clip.h"

namespace rahf::nn {

/// The transformer of either tower: x += attention(norm(x)); x += W2 act(W1 norm(x)).
class ClipEncoderImpl : public torch::nn::Cloneable<ClipEncoderImpl> {
 public:
  struct Options {
    std::int64_t width, hidden, layers, heads;
    ClipActivation activation;
    double layer_norm_eps;
  };
  explicit ClipEncoderImpl(const Options& options) : options_(options) { reset(); }
  void reset() override;

  struct Outputs {
    torch::Tensor last, penultimate;  ///< [B, N, D] after the last layer and before it
  };
  /// @param bias  added to the attention's scores, or undefined
  Outputs forward(torch::Tensor x, const torch::Tensor& bias, bool checkpointing);

 private:
  Options options_;
  torch::nn::ModuleList layers_{nullptr};
};
TORCH_MODULE(ClipEncoder);

/// `text_model` of a checkpoint.
class ClipTextTowerImpl : public torch::nn::Cloneable<ClipTextTowerImpl> {
 public:
  explicit ClipTextTowerImpl(const ClipTextOptions& options) : options_(options) { reset(); }
  void reset() override;
  /// All but `embeds`.
  ClipTextStates forward(const torch::Tensor& ids, const torch::Tensor& mask);

  bool checkpointing = false;

 private:
  struct EmbeddingsImpl;
  ClipTextOptions options_;
  std::shared_ptr<EmbeddingsImpl> embeddings_;
  ClipEncoder encoder_{nullptr};
  torch::nn::LayerNorm final_layer_norm_{nullptr};
};
TORCH_MODULE(ClipTextTower);

/// `vision_model` of a checkpoint.
class ClipVisionTowerImpl : public torch::nn::Cloneable<ClipVisionTowerImpl> {
 public:
  explicit ClipVisionTowerImpl(const ClipVisionOptions& options) : options_(options) { reset(); }
  void reset() override;
  /// All but `embeds`.
  ClipVisionStates forward(const torch::Tensor& pixels);

  bool checkpointing = false;

 private:
  struct EmbeddingsImpl;
  ClipVisionOptions options_;
  std::shared_ptr<EmbeddingsImpl> embeddings_;
  torch::nn::LayerNorm pre_layrnorm_{nullptr}, post_layernorm_{nullptr};
  ClipEncoder encoder_{nullptr};
};
TORCH_MODULE(ClipVisionTower);

/// A projection without bias whose weights start at deviation in^-1/2.
Linear clip_projection(std::int64_t in, std::int64_t out);

}  // namespace rahf::nn
