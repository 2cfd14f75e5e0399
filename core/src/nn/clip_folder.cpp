#include "rahf/core/nn/clip_folder.h"

#include <nlohmann/json.hpp>
#include <string>

#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/nn/config_file.h"
#include "rahf/core/nn/weights.h"

namespace rahf::nn {

namespace {

const WeightNames kNames{.prefix = {}, .ignore = {"*position_ids"}};
constexpr const char* kTextPrefix = "text_model.";
constexpr const char* kVisionPrefix = "vision_model.";
constexpr const char* kTextProjection = "text_projection.weight";
constexpr const char* kVisualProjection = "visual_projection.weight";

template <class Options>
Options read_tower(const ConfigFile& config) {
  Options options;
  Options::fields(options, [&](const std::string& key, auto& value, const char*) {
    if constexpr (std::is_enum_v<std::remove_reference_t<decltype(value)>>) {
      auto text = option_text::write(value);
      config.read(key, text);
      try {
        option_text::read(text, value);
      } catch (const ConfigError& error) {
        throw ConfigError(config.name() + ": " + key + ' ' + error.what());
      }
    } else {
      config.read(key, value);
    }
  });
  options.validate(config.name());
  return options;
}

template <class Options>
nlohmann::ordered_json write_tower(const Options& options, const char* type) {
  nlohmann::ordered_json json = {{"model_type", type}};
  Options::fields(options, [&](const char* key, const auto& value, const char*) {
    if constexpr (std::is_enum_v<std::remove_cvref_t<decltype(value)>>) {
      json[key] = option_text::write(value);
    } else {
      json[key] = value;
    }
  });
  return json;
}

/// The tensors of a tower's folder by the published names.
io::TensorMap read_tower_weights(const std::filesystem::path& folder, const std::string& prefix) {
  auto tensors = io::read_weights(folder).tensors;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix)) return tensors;
  }
  io::TensorMap renamed;
  for (const auto& [name, tensor] : tensors) {
    const bool inside = name != kTextProjection && name != kVisualProjection;
    renamed.emplace(inside ? prefix + name : name, tensor);
  }
  return renamed;
}

ClipHead head_of(const io::TensorMap& tensors, const char* projection) {
  return tensors.contains(projection) ? ClipHead::kProjection : ClipHead::kNone;
}

}  // namespace

ClipTextOptions clip_text_options(const std::filesystem::path& config_json) {
  return read_tower<ClipTextOptions>(ConfigFile(config_json));
}

ClipVisionOptions clip_vision_options(const std::filesystem::path& config_json) {
  return read_tower<ClipVisionOptions>(ConfigFile(config_json));
}

ClipOptions clip_options(const std::filesystem::path& config_json) {
  const ConfigFile config(config_json);
  ClipOptions options;
  if (config.has("text_config")) {
    options.text_config = read_tower<ClipTextOptions>(config.section("text_config"));
  }
  if (config.has("vision_config")) {
    options.vision_config = read_tower<ClipVisionOptions>(config.section("vision_config"));
  }
  config.read("projection_dim", options.projection_dim);
  config.read("logit_scale_init_value", options.logit_scale_init_value);
  options.validate(config.name());
  return options;
}

ClipText load_clip_text(const std::filesystem::path& folder) {
  const WithoutInitialisation loaded_instead;
  const auto tensors = read_tower_weights(folder, kTextPrefix);
  ClipText model(clip_text_options(folder / "config.json"), head_of(tensors, kTextProjection));
  load_weights(*model, tensors, folder.string(), kNames);
  return model;
}

ClipVision load_clip_vision(const std::filesystem::path& folder) {
  const WithoutInitialisation loaded_instead;
  const auto tensors = read_tower_weights(folder, kVisionPrefix);
  ClipVision model(clip_vision_options(folder / "config.json"),
                   head_of(tensors, kVisualProjection));
  load_weights(*model, tensors, folder.string(), kNames);
  return model;
}

Clip load_clip(const std::filesystem::path& folder) {
  const WithoutInitialisation loaded_instead;
  Clip model(clip_options(folder / "config.json"));
  load_weights(*model, folder, kNames);
  return model;
}

void save_clip_text(const ClipText& model, const std::filesystem::path& folder) {
  auto config = write_tower(model->options(), "clip_text_model");
  config["architectures"] = {model->head() == ClipHead::kNone ? "CLIPTextModel"
                                                              : "CLIPTextModelWithProjection"};
  io::write_safetensors(folder / "model.safetensors", weights(*model), {{"format", "pt"}});
  io::write_atomically(folder / "config.json", config.dump(2) + '\n');
}

void save_clip(const Clip& model, const std::filesystem::path& folder) {
  const auto& options = model->options();
  const nlohmann::ordered_json config = {
      {"architectures", {"CLIPModel"}},
      {"model_type", "clip"},
      {"projection_dim", options.projection_dim},
      {"logit_scale_init_value", options.logit_scale_init_value},
      {"text_config", write_tower(options.text_config, "clip_text_model")},
      {"vision_config", write_tower(options.vision_config, "clip_vision_model")}};
  io::write_safetensors(folder / "model.safetensors", weights(*model), {{"format", "pt"}});
  io::write_atomically(folder / "config.json", config.dump(2) + '\n');
}

}  // namespace rahf::nn
