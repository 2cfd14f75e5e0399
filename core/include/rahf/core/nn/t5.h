#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/io/safetensors.h"
#include "rahf/core/nn/greedy.h"
#include "rahf/core/nn/rms_norm.h"
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
  bool tie_word_embeddings = true;    ///< The output layer is the embedding (T5 v1.0).
  bool scale_decoder_outputs = true;  ///< States times D^-1/2 before the output layer (T5 v1.0).

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
    visit("scale_decoder_outputs", self.scale_decoder_outputs,
          "states times d_model^-1/2 before the output layer (T5 v1.0)");
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
  /// @param decoder_ids     [B, M] i64, the start token first; with a cache those after its tokens
  /// @param encoder_states  [B, L, D]
  /// @param encoder_mask    [B, L] Bool, or undefined
  /// @param cache           continued and extended by M tokens; nn::greedy() decodes with one
  /// @return                [B, M, V]
  torch::Tensor decode(const torch::Tensor& decoder_ids, const torch::Tensor& encoder_states,
                       const torch::Tensor& encoder_mask = {}, T5Cache* cache = nullptr);

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

/// Decodes with a cache of its own, for one call of greedy(). Refers to `model`.
/// @param encoder_states  [B, L, D]
/// @param encoder_mask    [B, L] Bool, or undefined
NextLogits next_logits(T5Impl& model, const torch::Tensor& encoder_states,
                       const torch::Tensor& encoder_mask = {});

/// The tensors of a published T5 checkpoint by the module's names. Such files hold the embedding
/// under up to four names, of which any may be missing, and a position bias that nothing uses.
/// `lm_head.weight` stays only where it differs from the embedding: the output layer is then not
/// tied, whatever the file's config says, as Hugging Face loads it.
/// @param where  what the tensors were read from, for the error's text
/// @throws CheckpointError if encoder or decoder have an embedding of their own.
io::TensorMap t5_tensors(io::TensorMap tensors, const std::string& where);

}  // namespace rahf::nn
