#include "rahf/core/io/prompt_file.h"

#include <fstream>
#include <string>

#include "rahf/core/error.h"
#include "rahf/core/io/csv.h"

namespace rahf::io {
namespace {

Prompts lines_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw FileError(file.string() + ": cannot be read");
  Prompts prompts;
  for (std::string line; std::getline(in, line);) {
    constexpr auto kBlank = " \t\r";
    const auto first = line.find_first_not_of(kBlank);
    if (first == std::string::npos || line[first] == '#') continue;
    prompts.push_back({line.substr(first, line.find_last_not_of(kBlank) - first + 1)});
  }
  return prompts;
}

Prompts column_of(const std::filesystem::path& file) {
  const auto csv = read_csv(file);
  const auto prompt = csv.column("prompt");
  Prompts prompts;
  for (const auto& row : csv.rows) prompts.push_back({row[prompt]});
  return prompts;
}

}  // namespace

Prompts read_prompts(const std::filesystem::path& file) {
  auto prompts = file.extension() == ".csv" ? column_of(file) : lines_of(file);
  if (prompts.empty()) throw FileError(file.string() + ": holds no prompt");
  return prompts;
}

}  // namespace rahf::io
