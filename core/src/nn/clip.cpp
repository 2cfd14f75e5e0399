#include "rahf/core/nn/clip.h"

#include <ATen/ops/_upsample_bicubic2d_aa.h>

#include <algorithm>
#include <array>
#include <string>

#include "clip_towers.h"
#include "rahf/core/shapes.h"

namespace rahf::nn {

using torch::Tensor;

namespace {

/// The rules that both towers have.
template <class Options>
void validate_tower(const Options& o, std::string_view name) {
  const auto positive = [&](const char* field, auto value) {
    if (value > 0) return;
    throw ConfigError(std::string(name) + ": " + field + " must be > 0, got " +
                      option_text::write(value));
  };
  positive("hidden_size", o.hidden_size);
  positive("intermediate_size", o.intermediate_size);
  positive("num_hidden_layers", o.num_hidden_layers);
  positive("num_attention_heads", o.num_attention_heads);
  positive("layer_norm_eps", o.layer_norm_eps);
  positive("projection_dim", o.projection_dim);
  if (o.hidden_size % o.num_attention_heads != 0) {
    throw ConfigError(std::string(name) + ": num_attention_heads must divide hidden_size, got " +
                      std::to_string(o.num_attention_heads) + " for " +
                      std::to_string(o.hidden_size));
  }
  if constexpr (requires { o.vocab_size; }) {
    positive("vocab_size", o.vocab_size);
    positive("max_position_embeddings", o.max_position_embeddings);
  } else {
    positive("patch_size", o.patch_size);
    positive("num_channels", o.num_channels);
    if (o.image_size <= 0 || o.image_size % o.patch_size != 0) {
      throw ConfigError(std::string(name) +
                        ": image_size must be > 0 and a multiple of patch_size, "
                        "got " +
                        std::to_string(o.image_size));
    }
  }
}

}  // namespace

void ClipTextOptions::validate(std::string_view name) const { validate_tower(*this, name); }
void ClipVisionOptions::validate(std::string_view name) const { validate_tower(*this, name); }

void ClipOptions::validate(std::string_view name) const {
  text_config.validate(std::string(name) + ".text_config");
  vision_config.validate(std::string(name) + ".vision_config");
  if (projection_dim > 0) return;
  throw ConfigError(std::string(name) + ": projection_dim must be > 0, got " +
                    std::to_string(projection_dim));
}

ClipTextImpl::ClipTextImpl(ClipTextOptions options, ClipHead head)
    : options_(options), head_(head) {
  options_.validate();
  reset();
}

void ClipTextImpl::reset() {
  text_model_ = register_module("text_model", ClipTextTower(options_));
  if (head_ == ClipHead::kNone) return;
  text_projection_ = register_module(
      "text_projection", clip_projection(options_.hidden_size, options_.projection_dim));
}

ClipTextStates ClipTextImpl::forward(const Tensor& ids, const Tensor& mask) {
  auto states = text_model_->forward(ids, mask);
  if (head_ == ClipHead::kProjection) states.embeds = text_projection_(states.pooled);
  return states;
}

void ClipTextImpl::set_gradient_checkpointing(bool on) { text_model_->checkpointing = on; }

ClipVisionImpl::ClipVisionImpl(ClipVisionOptions options, ClipHead head)
    : options_(options), head_(head) {
  options_.validate();
  reset();
}

void ClipVisionImpl::reset() {
  vision_model_ = register_module("vision_model", ClipVisionTower(options_));
  if (head_ == ClipHead::kNone) return;
  visual_projection_ = register_module(
      "visual_projection", clip_projection(options_.hidden_size, options_.projection_dim));
}

ClipVisionStates ClipVisionImpl::forward(const Tensor& pixels) {
  auto states = vision_model_->forward(pixels);
  if (head_ == ClipHead::kProjection) states.embeds = visual_projection_(states.pooled);
  return states;
}

void ClipVisionImpl::set_gradient_checkpointing(bool on) { vision_model_->checkpointing = on; }

ClipImpl::ClipImpl(ClipOptions options) : options_(options) {
  options_.validate();
  reset();
}

void ClipImpl::reset() {
  text_model_ = register_module("text_model", ClipTextTower(options_.text_config));
  vision_model_ = register_module("vision_model", ClipVisionTower(options_.vision_config));
  visual_projection_ =
      register_module("visual_projection",
                      clip_projection(options_.vision_config.hidden_size, options_.projection_dim));
  text_projection_ =
      register_module("text_projection",
                      clip_projection(options_.text_config.hidden_size, options_.projection_dim));
  logit_scale_ = register_parameter(
      "logit_scale", torch::full({}, options_.logit_scale_init_value, torch::kFloat));
}

Tensor ClipImpl::encode_text(const Tensor& ids, const Tensor& mask) {
  return text_projection_(text_model_->forward(ids, mask).pooled);
}

Tensor ClipImpl::encode_images(const Tensor& pixels) {
  return visual_projection_(vision_model_->forward(pixels).pooled);
}

Tensor ClipImpl::logits_per_image(const Tensor& image_embeds, const Tensor& text_embeds) {
  Shapes shapes("Clip::logits_per_image");
  shapes.check("image_embeds", image_embeds, {"B", "P"});
  shapes.check("text_embeds", text_embeds, {"T", "P"});
  const auto unit = [](const Tensor& x) { return x / x.norm(2, {-1}, /*keepdim=*/true); };
  return logit_scale_.exp() * torch::matmul(unit(image_embeds), unit(text_embeds).t());
}

void ClipImpl::set_gradient_checkpointing(bool on) {
  text_model_->checkpointing = on;
  vision_model_->checkpointing = on;
}

Tensor clip_pixels(const Tensor& images, std::int64_t size) {
  Shapes("clip_pixels").check("images", images, {"B", 3, "H", "W"});
  const auto height = images.size(2), width = images.size(3), shorter = std::min(height, width);
  auto fitting = images;
  if (shorter != size) {
    const std::array sides = {size * height / shorter, size * width / shorter};
    fitting = at::_upsample_bicubic2d_aa(images, sides, /*align_corners=*/false).clamp(0, 1);
  }
  const auto crop = [&](std::int64_t dim) {
    const auto side = fitting.size(dim);
    if (side != size) fitting = fitting.narrow(dim, (side - size) / 2, size);
  };
  crop(2);
  crop(3);
  const auto per_channel = [&](std::initializer_list<double> values) {
    return torch::tensor(at::ArrayRef<double>(values), images.options()).view({1, 3, 1, 1});
  };
  return (fitting - per_channel({0.48145466, 0.4578275, 0.40821073})) /
         per_channel({0.26862954, 0.26130258, 0.27577711});
}

}  // namespace rahf::nn
