#pragma once

#include <filesystem>

#include "rahf/core/prompt.h"

namespace rahf::io {

/// Prompts from a text file, one a line (empty lines and those that begin with # are passed over),
/// or from a .csv file's column 'prompt'.
/// @throws FileError if the file cannot be read, or holds no prompt.
Prompts read_prompts(const std::filesystem::path& file);

}  // namespace rahf::io
