#include "verb.h"

#include <ATen/Parallel.h>

#include <iostream>

#include "rahf/core/progress.h"

namespace rahf::program {

bool parse_verb(const CommandLine& command, const std::vector<std::string>& arguments,
                const CommonOptions& common, CommandLine::Parsed& parsed) {
  const auto help = command.help();  // before parsing, so that it shows the defaults
  parsed = command.parse(arguments);
  if (parsed.help) {
    std::cout << help;
    return true;
  }
  if (common.threads < 0) throw UsageError("--threads must be >= 0");
  if (common.threads > 0) at::set_num_threads(static_cast<int>(common.threads));
  Progress::silence(common.quiet);
  return false;
}

void require_option(const char* name, const std::string& value) {
  if (value.empty()) throw UsageError(std::string("--") + name + " is required");
}

}  // namespace rahf::program
