#pragma once

#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

#include "rahf/core/options.h"

namespace rahf::program {

/// One verb of the program. run() gets what follows the verb on the command line, throws
/// UsageError (exit 2) or another error (exit 1), or returns the exit status.
struct Verb {
  const char* name;
  const char* summary;  ///< One line for `rahf --help`.
  int (*run)(const std::vector<std::string>& arguments);
};

/// Options that every verb has.
struct CommonOptions {
  bool json = false;
  bool quiet = false;
  bool check = false;
  std::int64_t threads = 0;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("json", self.json, "one JSON object on standard output instead of text");
    visit("quiet", self.quiet, "no progress on standard error");
    visit("check", self.check, "read and check the options, then stop");
    visit("threads", self.threads,
          "threads inside one operation; 0 leaves it to LibTorch; in [0, 1024]");
  }
};

/// The verb's own options and the common ones, in that order.
template <class Options>
std::vector<OptionField> verb_fields(Options& options, CommonOptions& common) {
  auto all = option_fields(options);
  for (auto& field : option_fields(common)) all.push_back(std::move(field));
  return all;
}

/// Parses, calls `validate` (which throws if options contradict each other), and puts the common
/// options into force.
/// @return true if there is nothing more to do: --help was printed, or --check was given
bool parse_verb(const CommandLine& command, const std::vector<std::string>& arguments,
                const CommonOptions& common, CommandLine::Parsed& parsed,
                const std::function<void()>& validate = {});

/// The device that `--device TEXT` names: cpu, cuda, cuda:1.
/// @throws UsageError for another text, or if there is no such device here.
torch::Device device_option(const std::string& text);

/// @throws UsageError "--name must be in [least, most], got value" if it is not.
void require_range(const char* name, std::int64_t value, std::int64_t least, std::int64_t most);

/// @throws UsageError "--name is required" if `value` is empty.
void require_option(const char* name, const std::string& value);

}  // namespace rahf::program
