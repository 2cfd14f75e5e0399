#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "rahf/core/nn/clip_text.h"

namespace rahf::nn {

/// The fields are named as in Hugging Face's config.json, and have its defaults: ViT-B/32.
struct ClipVisionOptions {
  std::int64_t hidden_size = 768;         ///< D; > 0, a multiple of the heads.
  std::int64_t intermediate_size = 3072;  ///< Width of the feed-forward layers; > 0.
  std::int64_t num_hidden_layers = 12;    ///< > 0
  std::int64_t num_attention_heads = 12;  ///< > 0
  std::int64_t image_size = 224;          ///< Pixels; > 0, a multiple of patch_size.
  std::int64_t patch_size = 32;           ///< Pixels; > 0.
  std::int64_t num_channels = 3;          ///< > 0
  ClipActivation hidden_act = ClipActivation::kQuickGelu;
  double layer_norm_eps = 1e-5;       ///< > 0
  std::int64_t projection_dim = 512;  ///< P; > 0.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("hidden_size", self.hidden_size, "channels of one token; > 0, a multiple of the heads");
    visit("intermediate_size", self.intermediate_size, "width of the feed-forward layers; > 0");
    visit("num_hidden_layers", self.num_hidden_layers, "number of layers; > 0");
    visit("num_attention_heads", self.num_attention_heads, "attention heads; > 0");
    visit("image_size", self.image_size, "pixels; > 0, a multiple of patch_size");
    visit("patch_size", self.patch_size, "pixels; > 0");
    visit("num_channels", self.num_channels, "channels of a picture; > 0");
    visit("hidden_act", self.hidden_act, "activation of the feed-forward layers");
    visit("layer_norm_eps", self.layer_norm_eps, "added to the variance; > 0");
    visit("projection_dim", self.projection_dim, "width of the space shared with texts; > 0");
  }
  /// @throws ConfigError naming the field after `name`.
  void validate(std::string_view name = "ClipVisionOptions") const;
};

struct ClipVisionStates {
  torch::Tensor last;    ///< [B, 1 + N, D] class token first, then patches by rows; not normed
  torch::Tensor pooled;  ///< [B, D] the class token after the last norm
  torch::Tensor embeds;  ///< [B, P] projected; undefined without a projection
};

class ClipVisionTowerImpl;

/// CLIP's picture encoder: what Hugging Face's CLIPVisionModel and CLIPVisionModelWithProjection
/// compute, with the names of the published files (`vision_model.…`, `visual_projection`).
class ClipVisionImpl : public torch::nn::Cloneable<ClipVisionImpl> {
 public:
  explicit ClipVisionImpl(ClipVisionOptions options = {}, ClipHead head = ClipHead::kNone);
  void reset() override;

  /// @param pixels  [B, C, image_size, image_size] f32, normalised by clip_pixels()
  ClipVisionStates forward(const torch::Tensor& pixels);

  void set_gradient_checkpointing(bool on);
  const ClipVisionOptions& options() const { return options_; }
  ClipHead head() const { return head_; }

 private:
  ClipVisionOptions options_;
  ClipHead head_;
  std::shared_ptr<ClipVisionTowerImpl> vision_model_;
  Linear visual_projection_{nullptr};
};
TORCH_MODULE(ClipVision);

struct ClipOptions {
  ClipTextOptions text_config;             ///< Its projection_dim is not read.
  ClipVisionOptions vision_config;         ///< Its projection_dim is not read.
  std::int64_t projection_dim = 512;       ///< P; > 0.
  double logit_scale_init_value = 2.6592;  ///< Logarithm of the first temperature's inverse.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("text_config", self.text_config, "");
    visit("vision_config", self.vision_config, "");
    visit("projection_dim", self.projection_dim, "width of the shared space; > 0");
    visit("logit_scale_init_value", self.logit_scale_init_value, "log of the first logit scale");
  }
  /// @throws ConfigError naming the field after `name`.
  void validate(std::string_view name = "ClipOptions") const;
};

/// Both towers and the scale of their logits: what Hugging Face's CLIPModel computes.
class ClipImpl : public torch::nn::Cloneable<ClipImpl> {
 public:
  explicit ClipImpl(ClipOptions options = {});
  void reset() override;

  /// @param ids, mask  as ClipText takes them  @return [B, P], not normalised
  torch::Tensor encode_text(const torch::Tensor& ids, const torch::Tensor& mask = {});
  /// @param pixels  as ClipVision takes them  @return [B, P], not normalised
  torch::Tensor encode_images(const torch::Tensor& pixels);
  /// exp(logit_scale) cos(image, text) of every pair.
  /// @param image_embeds, text_embeds  [B, P], [T, P]  @return [B, T]
  torch::Tensor logits_per_image(const torch::Tensor& image_embeds,
                                 const torch::Tensor& text_embeds);

  void set_gradient_checkpointing(bool on);
  const ClipOptions& options() const { return options_; }

 private:
  ClipOptions options_;
  std::shared_ptr<ClipTextTowerImpl> text_model_;
  std::shared_ptr<ClipVisionTowerImpl> vision_model_;
  Linear visual_projection_{nullptr}, text_projection_{nullptr};
  torch::Tensor logit_scale_;
};
TORCH_MODULE(Clip);

/// What the picture encoder reads: the shorter side resized to `size` (bicubic, antialiased), the
/// centre cropped, and CLIP's mean and deviation per channel taken off. Differentiable.
/// @param images  [B, 3, H, W] f32 RGB in [0, 1]  @return [B, 3, size, size]
torch::Tensor clip_pixels(const torch::Tensor& images, std::int64_t size);

}  // namespace rahf::nn
