#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace rahf::io {

using TensorMap = std::map<std::string, torch::Tensor>;
using Metadata = std::map<std::string, std::string>;

/// A safetensors file, memory-mapped: tensors read from it share the mapped pages (which stay
/// mapped while any of them lives) and must not be written to.
struct Safetensors {
  class Map;
  TensorMap tensors;
  Metadata metadata;
  std::vector<std::shared_ptr<const Map>> maps = {};  ///< The files.

  /// Gives back the memory that reading this tensor has filled; it is read again from the file if
  /// it is used again. Does nothing for a tensor that is none of the mapped ones.
  void release(const torch::Tensor& tensor) const;
};

/// @throws FileError naming the file and what is wrong with it; every size and offset is checked
///         before it is used.
Safetensors read_safetensors(const std::filesystem::path& file);

/// All tensors of a model folder: `NAME.safetensors`, or the shards that
/// `NAME.safetensors.index.json` lists; where there are neither, those of the variant "fp16"
/// (`NAME.fp16.safetensors`, `NAME.safetensors.index.fp16.json`).
/// @param name  for example "model" or "diffusion_pytorch_model"
Safetensors read_weights(const std::filesystem::path& folder, const std::string& name = "model");

/// Writes atomically, in the reference implementation's layout (aligned, sorted).
void write_safetensors(const std::filesystem::path& file, const TensorMap& tensors,
                       const Metadata& metadata = {});

}  // namespace rahf::io
