#pragma once

#include <filesystem>

#include "rahf/core/nn/clip.h"

namespace rahf::nn {

// CLIP models as Hugging Face keeps them: config.json and model.safetensors. Which parts a folder
// holds is seen by its architecture and by its keys, which may or may not begin with `text_model.`
// or `vision_model.`. Absent keys of config.json have Hugging Face's defaults.
// @throws FileError, ConfigError or CheckpointError naming the file and what does not fit.

ClipTextOptions clip_text_options(const std::filesystem::path& config_json);
ClipVisionOptions clip_vision_options(const std::filesystem::path& config_json);
ClipOptions clip_options(const std::filesystem::path& config_json);

/// A text encoder: with a projection where the weights have one.
ClipText load_clip_text(const std::filesystem::path& folder);
/// A picture encoder: with a projection where the weights have one.
ClipVision load_clip_vision(const std::filesystem::path& folder);
/// A model of both.
Clip load_clip(const std::filesystem::path& folder);

/// Writes what load_clip_text() and Hugging Face load, in the parameters' element type.
void save_clip_text(const ClipText& model, const std::filesystem::path& folder);
/// Writes what load_clip() and Hugging Face load, in the parameters' element type.
void save_clip(const Clip& model, const std::filesystem::path& folder);

}  // namespace rahf::nn
