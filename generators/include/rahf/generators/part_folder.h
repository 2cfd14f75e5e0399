#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <string>

#include "rahf/core/io/json_object.h"

// One part of a pipeline on disk, as diffusers writes it: `config.json` and
// `diffusion_pytorch_model.safetensors` (or its shards, or its fp16 variant).

namespace rahf::generators {

/// Fills a module from a part's folder, all or nothing. Names of old checkpoints (`query`, `key`,
/// `value`, `proj_attn` for an attention's layers) are understood. Memory-mapped: needs no more
/// memory at a time than the module and its largest tensor.
/// @throws FileError if the files cannot be read; CheckpointError listing every missing, surplus
///         and misshapen tensor by name, the module is then unchanged.
void load_part(torch::nn::Module& module, const std::filesystem::path& folder);

/// The start of a part's config.json. @param class_name  for example "AutoencoderKL"
io::JsonObject part_config(const std::string& class_name);
/// Writes config.json and the weights, in the element type that they have, into a folder that is
/// made if it is missing.
void save_part(const torch::nn::Module& module, const io::JsonObject& config,
               const std::filesystem::path& folder);

}  // namespace rahf::generators
