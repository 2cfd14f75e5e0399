#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <string>
#include <vector>

#include "rahf/core/io/safetensors.h"

namespace rahf::nn {

/// How the names in a file differ from a module's.
struct WeightNames {
  std::string prefix = {};  ///< Taken off the names that begin with it, for example "vit.".
  std::vector<std::string> ignore = {};  ///< Names to pass over, without the prefix; `*` stands
                                         ///< for any text, for example "pooler.*".
};

/// Copies `tensors` into the module's parameters and buffers of the same names, to the element
/// type and the device that these have. All or nothing.
/// @param where  what the tensors were read from, for the error's text
/// @throws CheckpointError listing every missing, surplus and misshapen tensor by name; the module
///         is then unchanged.
void load_weights(torch::nn::Module& module, const io::TensorMap& tensors, const std::string& where,
                  const WeightNames& names = {});

/// The same from mapped files, whose memory is given back tensor by tensor as it is copied: at most
/// the module and its largest tensor are in memory at a time.
void load_weights(torch::nn::Module& module, io::Safetensors&& files, const std::string& where,
                  const WeightNames& names = {});

/// The same from a model folder: `model.safetensors` or its shards.
/// @throws FileError if the files cannot be read.
void load_weights(torch::nn::Module& module, const std::filesystem::path& folder,
                  const WeightNames& names = {});

/// The module's parameters and buffers by name. They share the module's memory.
io::TensorMap weights(const torch::nn::Module& module);

}  // namespace rahf::nn
