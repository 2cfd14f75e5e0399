#include "outputs.h"

#include <fstream>
#include <system_error>

#include "rahf/core/error.h"

namespace rahf::program {

namespace fs = std::filesystem;

void check_output(const fs::path& file, const std::vector<std::string>& inputs,
                  const std::function<bool(const std::string& beginning)>& own_kind) {
  for (const auto& input : inputs) {
    std::error_code unknown;
    if (input.empty() || !fs::equivalent(file, input, unknown)) continue;
    throw FileError(file.string() + ": is an input and would be written over");
  }
  if (!fs::exists(file)) return;
  std::string beginning(4096, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
  beginning.resize(static_cast<std::size_t>(in.gcount()));
  if (fs::is_regular_file(file) && (beginning.empty() || own_kind(beginning))) return;
  throw FileError(file.string() +
                  ": would be written over, but is not what this program writes there");
}

bool is_hdf5(const std::string& beginning) { return beginning.starts_with("\x89HDF\r\n\x1a\n"); }

bool is_picture(const std::string& beginning) {
  return beginning.starts_with("\x89PNG\r\n") || beginning.starts_with("\xFF\xD8\xFF") ||
         (beginning.starts_with("RIFF") && beginning.substr(8, 4) == "WEBP");
}

}  // namespace rahf::program
