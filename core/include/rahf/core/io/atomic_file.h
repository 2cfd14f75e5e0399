#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace rahf::io {

/// Writes a file so that readers see the old content or the whole new one, never a part: to a
/// temporary name in the same folder, synced, renamed. Missing parent folders are made.
/// @throws FileError if any step fails; the temporary file is then gone.
void write_atomically(const std::filesystem::path& path, std::string_view content);

/// The same for a file or a folder that `write` makes under the temporary path it is given.
void replace_atomically(const std::filesystem::path& path,
                        const std::function<void(const std::filesystem::path&)>& write);

/// Removes the scratch folders that such writes to targets in `folder` left when they were killed.
/// No other process may be writing there.
void remove_scratch(const std::filesystem::path& folder);

/// @throws FileError if the file cannot be read.
std::string read_file(const std::filesystem::path& path);

}  // namespace rahf::io
