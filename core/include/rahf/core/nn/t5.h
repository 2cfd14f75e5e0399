#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "rahf/core/nn/rms_norm.h"
#include "rahf/core/nn/weights.h"
#include "rahf/core/options.h"

namespace rahf::nn {

/// The defaults are T5-base.
struct T5Options {
  std::int64_t vocab_size = 32128;       ///< V, rows of the embedding; > 0.
  std::int64_t d_model = 768;            ///< D, channels of one token; > 0.
  std::int64_t d_kv = 64;                ///< Channels of one head; > 0.
  std::int64_t num_heads = 12;           ///< > 0
  std::int64_t num_layers = 12;          ///< Of the encoder; > 0.
  std::int64_t num_decoder_layers = 12;  ///< >= 0; 0 is an encoder alone.
  std::int64_t d_ff = 3072;              ///< Width of the feed-forward layers; > 0.
  bool gated = false;                    ///< relu(W x), or gelu_new(W0 x) * W1 x (T5 v1.1).
  std::int64_t relative_attention_num_buckets = 32;    ///< > 0, a multiple of 4.
  std::int64_t relative_attention_max_distance = 128;  ///< Tokens; > num_buckets / 2.
  double layer_norm_eps = 1e-6;                        ///< > 0
  double dropout = 0;                                  ///< In [0, 1).
  bool tie_word_embeddings = true;  ///< The output layer is the embedding (T5 v1.0).

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("vocab_size", self.vocab_size, "rows of the embedding; > 0");
    visit("d_model", self.d_model, "channels of one token; > 0");
    visit("d_kv", self.d_kv, "channels of one attention head; > 0");
    visit("num_heads", self.num_heads, "attention heads; > 0");
    visit("num_layers", self.num_layers, "layers of the encoder; > 0");
    visit("num_decoder_layers", self.num_decoder_layers, "layers of the decoder; >= 0");
    visit("d_ff", self.d_ff, "width of the feed-forward layers; > 0");
    visit("gated", self.gated, "gated gelu feed-forward layers (T5 v1.1) instead of relu");
    visit("relative_attention_num_buckets", self.relative_attention_num_buckets,
          "buckets of token distances; > 0, a multiple of 4");
    visit("relative_attention_max_distance", self.relative_attention_max_distance,
          "tokens from which on all distances share a bucket; > num_buckets / 2");
    visit("layer_norm_eps", self.layer_norm_eps, "added to the mean square; > 0");
    visit("dropout", self.dropout, "share dropped in training; in [0, 1)");
    visit("tie_word_embeddings", self.tie_word_embeddings, "the output layer is the embedding");
  }
  /// @throws ConfigError naming the field after `name`.
  void validate(std::string_view name = "T5Options") const;
};

/// Keys and values that a decoder has computed, so that a next token costs one row.
struct T5Cache {
  struct KeyValue {
    torch::Tensor key, value;  ///< [B, H, N, d_kv], or undefined before the first call.
  };
  struct Layer {
    KeyValue self, cross;
  };
  std::vector<Layer> layers = {};
  std::int64_t length = 0;  ///< Tokens decoded so far.
};

enum class T5Side { kEncoder, kDecoder };

/// T5's encoder or decoder: pre-norm residual blocks with RMS norm, no biases, scores not scaled,
/// and a learned bias per bucket of token distances, computed once and shared by the layers.
class T5StackImpl : public torch::nn::Cloneable<T5StackImpl> {
 public:
  T5StackImpl(T5Options options, T5Side side);
  void reset() override;

  struct Inputs {
    torch::Tensor embeds;               ///< [B, M, D]
    torch::Tensor mask = {};            ///< [B, M] Bool, false is passed over; undefined keeps all.
    torch::Tensor encoder_states = {};  ///< [B, L, D]  decoder only
    torch::Tensor encoder_mask = {};    ///< [B, L] Bool  decoder only; undefined keeps all.
    T5Cache* cache = nullptr;           ///< Decoder only: continued and extended by M tokens.
  };
  /// @return  [B, M, D], after the final norm
  torch::Tensor forward(const Inputs& inputs);

  void set_gradient_checkpointing(bool on) { checkpointing_ = on; }

 private:
  T5Options options_;
  T5Side side_;
  bool checkpointing_ = false;
  torch::nn::ModuleList block_{nullptr};
  RmsNorm final_layer_norm_{nullptr};
};
TORCH_MODULE(T5Stack);

struct GreedyOptions {
  std::int64_t max_new_tokens = 20;  ///< > 0
  std::int64_t eos = 1;              ///< Ends a row.
  std::int64_t pad = 0;              ///< Fills a row behind its end.
  std::int64_t start = 0;            ///< What the decoder is given first.
};

/// T5 (Raffel et al. 2020, arXiv 1910.10683), what Hugging Face's T5ForConditionalGeneration
/// computes, with the same parameter names. Text is embed() -> encode() -> decode(); other tokens
/// (of a picture, say) can be joined to the embeddings in between.
///
/// reset() draws from torch's default generator: embedding N(0, 1), queries deviation
/// (D d_kv)^-1/2, keys, values, position biases and feed-forward inputs D^-1/2, attention outputs
/// (H d_kv)^-1/2, feed-forward outputs d_ff^-1/2. Random in training only where dropout > 0.
class T5Impl : public torch::nn::Cloneable<T5Impl> {
 public:
  explicit T5Impl(T5Options options = {});
  void reset() override;

  /// @param ids  [B, L] i64 in [0, V)  @return [B, L, D]
  torch::Tensor embed(const torch::Tensor& ids);

  /// @param embeds  [B, L, D]
  /// @param mask    [B, L] Bool, false is passed over (padding); undefined keeps all
  /// @return        [B, L, D]
  torch::Tensor encode(const torch::Tensor& embeds, const torch::Tensor& mask = {});

  /// Logits of the token after each decoder token, which sees itself and those before it.
  /// @param decoder_ids     [B, M] i64, the start token first
  /// @param encoder_states  [B, L, D]
  /// @param encoder_mask    [B, L] Bool, or undefined
  /// @return                [B, M, V]; with tied embeddings states are scaled by D^-1/2 before
  torch::Tensor decode(const torch::Tensor& decoder_ids, const torch::Tensor& encoder_states,
                       const torch::Tensor& encoder_mask = {});

  /// The likeliest token after another, without a gradient, until every row has ended.
  /// @return  [B, 1 + n] i64, n <= max_new_tokens: the start token, then what was written
  torch::Tensor greedy(const torch::Tensor& encoder_states, const torch::Tensor& encoder_mask = {},
                       const GreedyOptions& options = {});

  void set_gradient_checkpointing(bool on);
  const T5Options& options() const { return options_; }

 private:
  torch::Tensor logits(const torch::Tensor& states);

  T5Options options_;
  torch::nn::Embedding shared_{nullptr};
  T5Stack encoder_{nullptr}, decoder_{nullptr};
  torch::nn::Linear lm_head_{nullptr};  ///< Only with untied embeddings.
};
TORCH_MODULE(T5);

/// How published T5 checkpoints name things: the shared embedding also under other names, and a
/// position bias in old ones that nothing uses.
WeightNames t5_weight_names(const T5Options& options);

}  // namespace rahf::nn
