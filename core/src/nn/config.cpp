#include "rahf/core/nn/config.h"

#include <string>

#include "rahf/core/error.h"
#include "rahf/core/nn/config_file.h"
#include "rahf/core/nn/weights.h"

namespace rahf::nn {

ViTOptions vit_options(const std::filesystem::path& config_json) {
  const ConfigFile config(config_json);
  ViTOptions options;
  config.require("hidden_size", options.width);
  config.require("num_hidden_layers", options.layers);
  config.require("num_attention_heads", options.heads);
  config.require("intermediate_size", options.hidden);
  config.read("image_size", options.image_size);
  config.read("patch_size", options.patch_size);
  config.read("num_channels", options.channels);
  config.read("layer_norm_eps", options.layer_norm_eps);
  config.read("qkv_bias", options.qkv_bias);
  config.read("initializer_range", options.initializer_range);
  std::string activation = "gelu";
  config.read("hidden_act", activation);
  if (activation != "gelu") {
    throw ConfigError(config.name() + ": hidden_act must be gelu, got " + activation);
  }
  options.validate(config.name());
  return options;
}

T5Options t5_options(const std::filesystem::path& config_json) {
  const ConfigFile config(config_json);
  T5Options options;
  config.require("vocab_size", options.vocab_size);
  config.require("d_model", options.d_model);
  config.require("d_kv", options.d_kv);
  config.require("num_heads", options.num_heads);
  config.require("num_layers", options.num_layers);
  config.require("d_ff", options.d_ff);
  options.num_decoder_layers = options.num_layers;
  config.read("num_decoder_layers", options.num_decoder_layers);
  config.read("relative_attention_num_buckets", options.relative_attention_num_buckets);
  config.read("relative_attention_max_distance", options.relative_attention_max_distance);
  config.read("layer_norm_epsilon", options.layer_norm_eps);
  config.read("tie_word_embeddings", options.tie_word_embeddings);
  options.scale_decoder_outputs = options.tie_word_embeddings;  // what it meant before the next
  config.read("scale_decoder_outputs", options.scale_decoder_outputs);
  std::string feed_forward = "relu";
  config.read("feed_forward_proj", feed_forward);
  if (feed_forward != "relu" && feed_forward != "gated-gelu") {
    throw ConfigError(config.name() + ": feed_forward_proj must be relu or gated-gelu, got " +
                      feed_forward);
  }
  options.gated = feed_forward == "gated-gelu";
  options.validate(config.name());
  return options;
}

ViT load_vit(const std::filesystem::path& folder) {
  ViT model(vit_options(folder / "config.json"));
  load_weights(*model, folder, vit_weight_names());
  return model;
}

T5 load_t5(const std::filesystem::path& folder) {
  auto options = t5_options(folder / "config.json");
  const auto tensors = t5_tensors(io::read_weights(folder).tensors, folder.string());
  options.tie_word_embeddings = !tensors.contains("lm_head.weight");
  T5 model(options);
  WeightNames names;
  if (options.num_decoder_layers == 0) names.ignore = {"decoder.*", "lm_head.weight"};
  load_weights(*model, tensors, folder.string(), names);
  return model;
}

}  // namespace rahf::nn
