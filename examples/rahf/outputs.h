#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace rahf::program {

/// Checks, before work begins, that a file may be written: it is none of the inputs, and what is
/// there already, if anything, is of the kind that the program writes there.
/// @param inputs    paths that are read; empty ones are passed over
/// @param own_kind  looks at the first 4 KiB of an existing file
/// @throws FileError naming the file.
void check_output(const std::filesystem::path& file, const std::vector<std::string>& inputs,
                  const std::function<bool(const std::string& beginning)>& own_kind);

// Kinds: what the beginning of a file says.
bool is_hdf5(const std::string& beginning);
bool is_picture(const std::string& beginning);

}  // namespace rahf::program
