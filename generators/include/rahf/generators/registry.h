#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <memory>

#include "rahf/core/generator.h"

namespace rahf::generators {

/// The generator of a pipeline's folder, whichever kind its model_index.json names.
/// @throws FileError if the folder cannot be read; ConfigError naming the known kinds if it is of
///         another; CheckpointError if its weights do not fit.
std::unique_ptr<Generator> load_generator(const std::filesystem::path& folder, c10::Device device);

}  // namespace rahf::generators
