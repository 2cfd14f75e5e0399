#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include "rahf/core/nn/layers.h"
#include "rahf/core/options.h"

namespace rahf::nn {

/// Between the two layers of a feed-forward block.
enum class ClipActivation {
  kQuickGelu,  ///< x sigmoid(1.702 x), of OpenAI's models.
  kGelu,       ///< x Phi(x), of OpenCLIP's.
};

/// The fields are named as in Hugging Face's config.json, and have its defaults: ViT-B/32.
struct ClipTextOptions {
  std::int64_t vocab_size = 49408;            ///< V, rows of the embedding; > 0.
  std::int64_t hidden_size = 512;             ///< D; > 0, a multiple of the heads.
  std::int64_t intermediate_size = 2048;      ///< Width of the feed-forward layers; > 0.
  std::int64_t num_hidden_layers = 12;        ///< > 0
  std::int64_t num_attention_heads = 8;       ///< > 0
  std::int64_t max_position_embeddings = 77;  ///< Tokens; > 0.
  ClipActivation hidden_act = ClipActivation::kQuickGelu;
  double layer_norm_eps = 1e-5;       ///< > 0
  std::int64_t eos_token_id = 49407;  ///< Its first place is what `pooled` reads; 2, of the
                                      ///< first published models, stands for the largest id.
  std::int64_t projection_dim = 512;  ///< P; > 0.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("vocab_size", self.vocab_size, "rows of the embedding; > 0");
    visit("hidden_size", self.hidden_size, "channels of one token; > 0, a multiple of the heads");
    visit("intermediate_size", self.intermediate_size, "width of the feed-forward layers; > 0");
    visit("num_hidden_layers", self.num_hidden_layers, "number of layers; > 0");
    visit("num_attention_heads", self.num_attention_heads, "attention heads; > 0");
    visit("max_position_embeddings", self.max_position_embeddings, "most tokens of a text; > 0");
    visit("hidden_act", self.hidden_act, "activation of the feed-forward layers");
    visit("layer_norm_eps", self.layer_norm_eps, "added to the variance; > 0");
    visit("eos_token_id", self.eos_token_id, "the token that ends a text; 2 is the largest id");
    visit("projection_dim", self.projection_dim, "width of the space shared with pictures; > 0");
  }
  /// @throws ConfigError naming the field after `name`.
  void validate(std::string_view name = "ClipTextOptions") const;
};

/// What a text encoder says about B texts of L tokens.
struct ClipTextStates {
  torch::Tensor last;         ///< [B, L, D] after the final norm: what Stable Diffusion reads.
  torch::Tensor penultimate;  ///< [B, L, D] after the last layer but one, not normed: what aMUSEd
                              ///< and SD3 read.
  torch::Tensor pooled;       ///< [B, D] of `last`, at the end token
  torch::Tensor embeds;       ///< [B, P] projected; undefined without a projection
};

/// Whether a projection to the space that texts and pictures share follows the tower.
enum class ClipHead { kNone, kProjection };

class ClipTextTowerImpl;

/// CLIP's text encoder (Radford et al. 2021, arXiv 2103.00020): a causal transformer with norms
/// before its blocks. What Hugging Face's CLIPTextModel and CLIPTextModelWithProjection compute,
/// with the parameter names of the published files (`text_model.…`, `text_projection`).
///
/// reset() draws from torch's default generator, with CLIP's own deviations. Nothing else is
/// random, and eval() changes nothing. Linear layers take adapters.
class ClipTextImpl : public torch::nn::Cloneable<ClipTextImpl> {
 public:
  explicit ClipTextImpl(ClipTextOptions options = {}, ClipHead head = ClipHead::kNone);
  void reset() override;

  /// @param ids   [B, L] i64 in [0, V), L <= max_position_embeddings
  /// @param mask  [B, L] Bool, false is passed over; undefined keeps all, as image generators do
  ClipTextStates forward(const torch::Tensor& ids, const torch::Tensor& mask = {});

  void set_gradient_checkpointing(bool on);
  const ClipTextOptions& options() const { return options_; }
  ClipHead head() const { return head_; }

 private:
  ClipTextOptions options_;
  ClipHead head_;
  std::shared_ptr<ClipTextTowerImpl> text_model_;
  Linear text_projection_{nullptr};
};
TORCH_MODULE(ClipText);

}  // namespace rahf::nn

template <>
struct rahf::EnumNames<rahf::nn::ClipActivation> {
  static constexpr std::array<std::pair<nn::ClipActivation, std::string_view>, 2> value = {
      {{nn::ClipActivation::kQuickGelu, "quick_gelu"}, {nn::ClipActivation::kGelu, "gelu"}}};
};
