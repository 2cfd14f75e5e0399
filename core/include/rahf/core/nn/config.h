#pragma once

#include <filesystem>

#include "rahf/core/nn/t5.h"
#include "rahf/core/nn/vit.h"

namespace rahf::nn {

// Options from the config.json of a Hugging Face model folder. Dropout is left at zero: the
// published value is one of training. Absent keys have Hugging Face's defaults.
// @throws FileError if the file is not JSON, ConfigError naming file and key if a value is missing
//         or not one that this library computes (another activation, say).

ViTOptions vit_options(const std::filesystem::path& config_json);
T5Options t5_options(const std::filesystem::path& config_json);

/// The model of a folder: config.json and model.safetensors.
ViT load_vit(const std::filesystem::path& folder);
T5 load_t5(const std::filesystem::path& folder);

}  // namespace rahf::nn
