#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>

namespace rahf::io {

using TensorMap = std::map<std::string, torch::Tensor>;
using Metadata = std::map<std::string, std::string>;

/// A safetensors file, memory-mapped: tensors read from it share the mapped pages (which stay
/// mapped while any of them lives) and must not be written to.
struct Safetensors {
  TensorMap tensors;
  Metadata metadata;
};

/// @throws FileError naming the file and what is wrong with it; every size and offset is checked
///         before it is used.
Safetensors read_safetensors(const std::filesystem::path& file);

/// All tensors of a model folder: `NAME.safetensors`, or the shards that
/// `NAME.safetensors.index.json` lists.
/// @param name  for example "model" or "diffusion_pytorch_model"
Safetensors read_weights(const std::filesystem::path& folder, const std::string& name = "model");

/// Writes atomically, in the reference implementation's layout (aligned, sorted).
void write_safetensors(const std::filesystem::path& file, const TensorMap& tensors,
                       const Metadata& metadata = {});

}  // namespace rahf::io
