#include "rahf/core/nn/t5.h"

#include <torch/nn/functional/activation.h>
#include <torch/nn/functional/embedding.h>
#include <torch/nn/functional/linear.h>
#include <torch/nn/init.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <string>

#include "rahf/core/nn/attention.h"
#include "rahf/core/nn/checkpointing.h"
#include "rahf/core/shapes.h"

namespace rahf::nn {

namespace F = torch::nn::functional;
using torch::Tensor;
using torch::nn::Cloneable;
using torch::nn::Embedding;
using torch::nn::Linear;
using torch::nn::LinearOptions;

void T5Options::validate(std::string_view name) const {
  const auto require = [&](bool holds, const char* rule, auto got) {
    if (holds) return;
    throw ConfigError(std::string(name) + ": " + rule + ", got " + option_text::write(got));
  };
  require(vocab_size > 0, "vocab_size must be > 0", vocab_size);
  require(d_model > 0, "d_model must be > 0", d_model);
  require(d_kv > 0, "d_kv must be > 0", d_kv);
  require(num_heads > 0, "num_heads must be > 0", num_heads);
  require(num_layers > 0, "num_layers must be > 0", num_layers);
  require(num_decoder_layers >= 0, "num_decoder_layers must be >= 0", num_decoder_layers);
  require(d_ff > 0, "d_ff must be > 0", d_ff);
  const auto buckets = relative_attention_num_buckets;
  require(buckets > 0 && buckets % 4 == 0,
          "relative_attention_num_buckets must be > 0 and a multiple of 4", buckets);
  require(relative_attention_max_distance > buckets / 2,
          "relative_attention_max_distance must be > relative_attention_num_buckets / 2",
          relative_attention_max_distance);
  require(layer_norm_eps > 0, "layer_norm_eps must be > 0", layer_norm_eps);
  require(dropout >= 0 && dropout < 1, "dropout must be in [0, 1)", dropout);
}

namespace {

Linear linear(std::int64_t in, std::int64_t out) {
  return Linear(LinearOptions(in, out).bias(false));
}

/// Bucket of the key at `relative` = key position - query position. Half of the buckets are for
/// exact distances, the rest grow as their logarithm, computed in f32 as the trained models had it.
std::int64_t distance_bucket(std::int64_t relative, T5Side side, const T5Options& options) {
  auto buckets = options.relative_attention_num_buckets;
  std::int64_t first = 0;
  if (side == T5Side::kEncoder) {  // half of them for keys behind the query
    buckets /= 2;
    if (relative > 0) first = buckets;
    relative = std::abs(relative);
  } else {
    relative = std::max<std::int64_t>(-relative, 0);
  }
  const auto exact = buckets / 2;
  if (relative < exact) return first + relative;
  const float share =
      std::log(static_cast<float>(relative) / static_cast<float>(exact)) /
      static_cast<float>(std::log(static_cast<double>(options.relative_attention_max_distance) /
                                  static_cast<double>(exact)));
  const auto step = static_cast<std::int64_t>(share * static_cast<float>(buckets - exact));
  return first + std::min(exact + step, buckets - 1);
}

struct T5AttentionImpl : Cloneable<T5AttentionImpl> {
  T5AttentionImpl(const T5Options& given, bool biased) : options(given), has_bias(biased) {
    reset();
  }
  void reset() override {
    const auto inner = options.num_heads * options.d_kv;
    q = register_module("q", linear(options.d_model, inner));
    k = register_module("k", linear(options.d_model, inner));
    v = register_module("v", linear(options.d_model, inner));
    o = register_module("o", linear(inner, options.d_model));
    const auto narrow = std::pow(options.d_model, -0.5);
    torch::nn::init::normal_(q->weight, 0, std::pow(options.d_model * options.d_kv, -0.5));
    torch::nn::init::normal_(k->weight, 0, narrow);
    torch::nn::init::normal_(v->weight, 0, narrow);
    torch::nn::init::normal_(o->weight, 0, std::pow(inner, -0.5));
    if (!has_bias) return;
    relative_attention_bias =
        register_module("relative_attention_bias",
                        Embedding(options.relative_attention_num_buckets, options.num_heads));
    torch::nn::init::normal_(relative_attention_bias->weight, 0, narrow);
  }

  /// Keys and values of `memory`, appended to those of `cache`, if there is one.
  T5Cache::KeyValue keys_values(const Tensor& memory, T5Cache::KeyValue* cache) {
    T5Cache::KeyValue now{split_heads(k(memory), options.num_heads),
                          split_heads(v(memory), options.num_heads)};
    if (!cache) return now;
    if (cache->key.defined()) {
      now = {torch::cat({cache->key, now.key}, 2), torch::cat({cache->value, now.value}, 2)};
    }
    *cache = now;
    return now;
  }

  Tensor forward(const Tensor& x, const T5Cache::KeyValue& memory, const Tensor& bias) {
    const auto out = attention(split_heads(q(x), options.num_heads), memory.key, memory.value, bias,
                               {.scale = 1, .dropout = is_training() ? options.dropout : 0});
    return o(merge_heads(out));
  }

  /// The learned bias of `queries` positions from `start` on towards keys from 0 on:
  /// [1, H, queries, keys].
  Tensor position_bias(std::int64_t start, std::int64_t queries, std::int64_t keys, T5Side side) {
    // It depends on key - query alone: one value per diagonal, of which each query sees a window.
    auto buckets = torch::empty({queries + keys - 1}, torch::kLong);
    auto* bucket = buckets.data_ptr<std::int64_t>();
    for (std::int64_t i = 0; i < queries + keys - 1; ++i) {
      bucket[i] = distance_bucket(i - (start + queries - 1), side, options);
    }
    const auto& table = relative_attention_bias->weight;
    const auto diagonals = F::embedding(buckets.to(table.device()), table).t();  // [H, Q + K - 1]
    return diagonals.unfold(1, keys, 1).flip(1).unsqueeze(0);
  }

  T5Options options;
  bool has_bias;
  Linear q{nullptr}, k{nullptr}, v{nullptr}, o{nullptr};
  Embedding relative_attention_bias{nullptr};
};
TORCH_MODULE(T5Attention);

struct FeedForwardImpl : Cloneable<FeedForwardImpl> {
  explicit FeedForwardImpl(const T5Options& o) : options(o) { reset(); }
  void reset() override {
    wi = register_module(options.gated ? "wi_0" : "wi", linear(options.d_model, options.d_ff));
    torch::nn::init::normal_(wi->weight, 0, std::pow(options.d_model, -0.5));
    if (options.gated) {
      gate = register_module("wi_1", linear(options.d_model, options.d_ff));
      torch::nn::init::normal_(gate->weight, 0, std::pow(options.d_model, -0.5));
    }
    wo = register_module("wo", linear(options.d_ff, options.d_model));
    torch::nn::init::normal_(wo->weight, 0, std::pow(options.d_ff, -0.5));
  }
  Tensor forward(const Tensor& x) {
    auto hidden = options.gated ? torch::gelu(wi(x), "tanh") * gate(x) : torch::relu(wi(x));
    if (options.dropout > 0) hidden = torch::dropout(hidden, options.dropout, is_training());
    return wo(hidden);
  }
  T5Options options;
  Linear wi{nullptr}, gate{nullptr}, wo{nullptr};
};
TORCH_MODULE(FeedForward);

/// A sub-layer and the norm before it: registered under the names that checkpoints have.
template <class Inner>
struct SublayerImpl : Cloneable<SublayerImpl<Inner>> {
  template <class... Arguments>
  SublayerImpl(const T5Options& o, const char* name, Arguments... arguments)
      : options(o), make([=] { return Inner(arguments...); }), inner_name(name) {
    reset();
  }
  void reset() override {
    inner = this->register_module(inner_name, make());
    norm = this->register_module("layer_norm", RmsNorm(options.d_model, options.layer_norm_eps));
  }
  Tensor dropped(const Tensor& x) {
    return options.dropout > 0 ? torch::dropout(x, options.dropout, this->is_training()) : x;
  }
  T5Options options;
  std::function<Inner()> make;
  std::string inner_name;
  Inner inner{nullptr};
  RmsNorm norm{nullptr};
};

struct T5BlockImpl : Cloneable<T5BlockImpl> {
  using AttentionLayer = SublayerImpl<T5Attention>;
  using FeedForwardLayer = SublayerImpl<FeedForward>;

  T5BlockImpl(const T5Options& o, T5Side s, bool biased) : options(o), side(s), has_bias(biased) {
    reset();
  }
  void reset() override {
    layer = register_module("layer", torch::nn::ModuleList());
    layer->push_back(AttentionLayer(options, "SelfAttention", options, has_bias));
    if (side == T5Side::kDecoder) {
      layer->push_back(AttentionLayer(options, "EncDecAttention", options, false));
    }
    layer->push_back(FeedForwardLayer(options, "DenseReluDense", options));
  }

  T5AttentionImpl& self_attention() { return *layer->at<AttentionLayer>(0).inner; }

  /// @param bias, cross_bias  added to the scores towards own and towards encoder tokens
  Tensor forward(Tensor x, const Tensor& bias, const Tensor& encoder_states,
                 const Tensor& cross_bias, T5Cache::Layer* cache) {
    auto& self = layer->at<AttentionLayer>(0);
    const auto normed = self.norm(x);
    const auto own = self.inner->keys_values(normed, cache ? &cache->self : nullptr);
    x = x + self.dropped(self.inner(normed, own, bias));
    if (side == T5Side::kDecoder) {
      auto& cross = layer->at<AttentionLayer>(1);
      const bool known = cache && cache->cross.key.defined();
      // By way of a view a block's gradients are summed before they meet the other blocks', as they
      // are under gradient checkpointing: the same sums bit for bit.
      const auto memory = known ? cache->cross
                                : cross.inner->keys_values(encoder_states.view_as(encoder_states),
                                                           cache ? &cache->cross : nullptr);
      x = x + cross.dropped(cross.inner(cross.norm(x), memory, cross_bias));
    }
    auto& last = layer->at<FeedForwardLayer>(layer->size() - 1);
    return x + last.dropped(last.inner(last.norm(x)));
  }

  T5Options options;
  T5Side side;
  bool has_bias;
  torch::nn::ModuleList layer{nullptr};
};
TORCH_MODULE(T5Block);

/// [B, K] Bool -> [B, 1, 1, K] f32 to add to scores; undefined stays so.
Tensor key_mask(const Tensor& mask) {
  return mask.defined() ? mask_bias(mask).unsqueeze(1).unsqueeze(1) : Tensor();
}

}  // namespace

T5StackImpl::T5StackImpl(T5Options options, T5Side side) : options_(options), side_(side) {
  options_.validate();
  reset();
}

void T5StackImpl::reset() {
  const bool decoder = side_ == T5Side::kDecoder;
  block_ = register_module("block", torch::nn::ModuleList());
  const auto layers = decoder ? options_.num_decoder_layers : options_.num_layers;
  for (std::int64_t i = 0; i < layers; ++i) block_->push_back(T5Block(options_, side_, i == 0));
  final_layer_norm_ =
      register_module("final_layer_norm", RmsNorm(options_.d_model, options_.layer_norm_eps));
}

Tensor T5StackImpl::forward(const Inputs& inputs) {
  const bool decoder = side_ == T5Side::kDecoder;
  Shapes shapes(decoder ? "T5Stack::forward (decoder)" : "T5Stack::forward (encoder)");
  shapes.check("embeds", inputs.embeds, {"B", "M", options_.d_model});
  if (inputs.mask.defined()) shapes.check("mask", inputs.mask, {"B", "M"}, torch::kBool);
  if (decoder) shapes.check("encoder_states", inputs.encoder_states, {"B", "L", options_.d_model});
  if (inputs.encoder_mask.defined()) {
    shapes.check("encoder_mask", inputs.encoder_mask, {"B", "L"}, torch::kBool);
  }
  auto* cache = inputs.cache;
  const auto dropped = [&](const Tensor& x) {
    return options_.dropout > 0 ? torch::dropout(x, options_.dropout, is_training()) : x;
  };

  const auto start = cache ? cache->length : 0;
  const auto queries = inputs.embeds.size(1), keys = start + queries;
  auto bias =
      block_->at<T5BlockImpl>(0).self_attention().position_bias(start, queries, keys, side_);
  if (inputs.mask.defined()) bias = bias + key_mask(inputs.mask);  // [B, H, M, M]
  if (decoder && queries > 1) {
    const auto seen = torch::ones({queries, keys}, bias.options().dtype(torch::kBool)).tril(start);
    bias = bias + mask_bias(seen);
  }
  const auto cross_bias = key_mask(inputs.encoder_mask);
  if (cache) cache->layers.resize(block_->size());

  auto x = dropped(inputs.embeds);
  for (std::size_t i = 0; i < block_->size(); ++i) {
    const auto run = [cross_bias, module = block_->ptr(i),
                      layer_cache = cache ? &cache->layers[i] : nullptr](const auto& in) {
      return module->template as<T5BlockImpl>()->forward(
          in[0], in[1], in.size() > 2 ? in[2] : Tensor(), cross_bias, layer_cache);
    };
    std::vector<Tensor> in{x, bias};
    if (decoder) in.push_back(inputs.encoder_states);
    x = checkpointing_ && !cache ? checkpoint(*block_->ptr(i), in, run) : run(in);
  }
  if (cache) cache->length = keys;
  return dropped(final_layer_norm_(x));
}

T5Impl::T5Impl(T5Options options) : options_(options) {
  options_.validate();
  reset();
}

void T5Impl::reset() {
  shared_ = register_module("shared", Embedding(options_.vocab_size, options_.d_model));
  encoder_ = register_module("encoder", T5Stack(options_, T5Side::kEncoder));
  if (options_.num_decoder_layers == 0) return;
  decoder_ = register_module("decoder", T5Stack(options_, T5Side::kDecoder));
  if (!options_.tie_word_embeddings) {
    lm_head_ = register_module("lm_head", linear(options_.d_model, options_.vocab_size));
    torch::nn::init::normal_(lm_head_->weight, 0, 1);
  }
}

void T5Impl::set_gradient_checkpointing(bool on) {
  encoder_->set_gradient_checkpointing(on);
  if (decoder_) decoder_->set_gradient_checkpointing(on);
}

Tensor T5Impl::embed(const Tensor& ids) {
  Shapes("T5::embed").check("ids", ids, {"B", "L"}, torch::kLong);
  return shared_(ids);
}

Tensor T5Impl::encode(const Tensor& embeds, const Tensor& mask) {
  return encoder_(T5StackImpl::Inputs{.embeds = embeds, .mask = mask});
}

Tensor T5Impl::logits(const Tensor& states) {
  const auto scaled =
      options_.scale_decoder_outputs ? states * std::pow(options_.d_model, -0.5) : states;
  return lm_head_ ? lm_head_(scaled) : F::linear(scaled, shared_->weight);
}

Tensor T5Impl::decode(const Tensor& decoder_ids, const Tensor& encoder_states,
                      const Tensor& encoder_mask, T5Cache* cache) {
  if (!decoder_) throw ConfigError("T5::decode: num_decoder_layers must be > 0, got 0");
  return logits(decoder_(T5StackImpl::Inputs{.embeds = embed(decoder_ids),
                                             .encoder_states = encoder_states,
                                             .encoder_mask = encoder_mask,
                                             .cache = cache}));
}

NextLogits next_logits(T5Impl& model, const Tensor& encoder_states, const Tensor& encoder_mask) {
  return [&model, encoder_states, encoder_mask,
          cache = std::make_shared<T5Cache>()](const Tensor& newest) {
    return model.decode(newest, encoder_states, encoder_mask, cache.get());
  };
}

io::TensorMap t5_tensors(io::TensorMap tensors, const std::string& where) {
  const std::string shared = "shared.weight", output = "lm_head.weight";
  const std::array<std::string, 2> copies = {"encoder.embed_tokens.weight",
                                             "decoder.embed_tokens.weight"};
  for (const auto& name : {copies[0], copies[1], output}) {
    const auto found = tensors.find(name);
    if (found != tensors.end() && !tensors.contains(shared)) tensors[shared] = found->second;
  }
  const auto embedding = tensors.find(shared);
  const auto is_copy = [&](const std::string& name) {
    const auto found = tensors.find(name);
    return found == tensors.end() || (embedding->second.sizes() == found->second.sizes() &&
                                      at::equal(embedding->second, found->second));
  };
  if (embedding == tensors.end()) return tensors;
  for (const auto& name : copies) {
    if (!is_copy(name)) {
      throw CheckpointError(where + ": " + name + " must be equal to " + shared +
                            ", got other values (an embedding of its own is not supported)");
    }
    tensors.erase(name);
  }
  if (is_copy(output)) tensors.erase(output);
  std::erase_if(tensors, [](const auto& item) {
    return item.first.starts_with(
        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.");
  });
  return tensors;
}

}  // namespace rahf::nn
