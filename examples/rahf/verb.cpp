#include "verb.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <iostream>

#include "rahf/core/progress.h"
#include "rahf/core/utf8.h"

namespace rahf::program {

bool parse_verb(const CommandLine& command, const std::vector<std::string>& arguments,
                const CommonOptions& common, CommandLine::Parsed& parsed,
                const std::function<void()>& validate) {
  const auto help = command.help();  // before parsing, so that it shows the defaults
  parsed = command.parse(arguments);
  if (parsed.help) {
    std::cout << help;
    return true;
  }
  require_range("threads", common.threads, 0, 1024);
  for (const auto& field : command.options) {
    if (field.name != "out" || is_utf8(field.get())) continue;
    throw UsageError("--out must be UTF-8, got '" + printable(field.get()) + "'");
  }
  if (validate) validate();
  if (common.check) return true;
  if (common.threads > 0) at::set_num_threads(static_cast<int>(common.threads));
  Progress::silence(common.quiet);
  return false;
}

torch::Device device_option(const std::string& text) {
  const auto device = [&] {
    try {
      return torch::Device(text);
    } catch (const c10::Error&) {
      throw UsageError("--device must be cpu, cuda or cuda:N, got '" + text + "'");
    }
  }();
  if (device.is_cpu()) return device;
  if (!device.is_cuda())
    throw UsageError("--device must be cpu, cuda or cuda:N, got '" + text + "'");
  const auto count = at::hasCUDA() ? at::getNumGPUs() : 0;
  if (std::max<std::int64_t>(device.index(), 0) >= static_cast<std::int64_t>(count)) {
    throw UsageError("--device " + text + ": this machine and LibTorch have " +
                     std::to_string(count) + " CUDA devices");
  }
  return device;
}

void require_range(const char* name, std::int64_t value, std::int64_t least, std::int64_t most) {
  if (value >= least && value <= most) return;
  throw UsageError(std::string("--") + name + " must be in [" + std::to_string(least) + ", " +
                   std::to_string(most) + "], got " + std::to_string(value));
}

void require_option(const char* name, const std::string& value) {
  if (value.empty()) throw UsageError(std::string("--") + name + " is required");
}

}  // namespace rahf::program
