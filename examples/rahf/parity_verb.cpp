#include <algorithm>
#include <cmath>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "rahf/core/nn/parity.h"
#include "rahf/generators/muse/uvit2d.h"
#include "rahf/generators/parity.h"
#include "verbs.h"

namespace rahf::program {
namespace {

/// What can be compared: one line per kind of module.
const std::map<std::string, nn::ParityModule>& modules() {
  static const std::map<std::string, nn::ParityModule> all = {
      {"clip", nn::clip_outputs},
      {"scheduler", generators::scheduler_outputs},
      {"t5", nn::t5_outputs},
      {"unet", generators::unet_outputs},
      {"uvit", generators::uvit_outputs},
      {"vae", generators::vae_outputs},
      {"vit", nn::vit_outputs},
      {"vqmodel", generators::vq_model_outputs},
  };
  return all;
}

std::string module_names() {
  std::string names;
  for (const auto& [name, run] : modules()) names += (names.empty() ? "" : ", ") + name;
  return names;
}

struct ParityOptions {
  std::string module, weights, test;
  double tolerance = 1e-5;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    static const auto kinds = "kind of module: " + module_names();
    visit("module", self.module, kinds.c_str());
    visit("weights", self.weights, "folder with config.json and model.safetensors");
    visit("case", self.test, "safetensors file with input.NAME and output.NAME");
    visit("tolerance", self.tolerance, "largest difference that passes; >= 0");
  }
};

}  // namespace

int run_parity(const std::vector<std::string>& arguments) {
  ParityOptions options;
  CommonOptions common;
  const CommandLine command{
      .usage = "rahf parity --module KIND --weights DIR --case FILE.safetensors",
      .summary =
          "Compares a module with what another implementation computed from the same "
          "weights: the largest difference per output. Exit status 1 above the tolerance.",
      .options = verb_fields(options, common),
      .positional = ""};
  CommandLine::Parsed parsed;
  if (parse_verb(command, arguments, common, parsed)) return 0;
  require_option("module", options.module);
  require_option("weights", options.weights);
  require_option("case", options.test);
  const auto module = modules().find(options.module);
  if (module == modules().end()) {
    throw UsageError("--module must be one of " + module_names() + ", got " + options.module);
  }
  if (!(options.tolerance >= 0)) throw UsageError("--tolerance must be >= 0");

  const auto test = nn::ParityCase::read(options.test);
  const auto differences =
      nn::parity_differences(module->second(options.weights, test), test.expected);
  const bool passed = std::all_of(differences.begin(), differences.end(), [&](const auto& one) {
    return one.largest <= options.tolerance;
  });
  if (common.json) {
    nlohmann::ordered_json outputs = nlohmann::json::object();
    for (const auto& one : differences) {  // JSON has no infinity
      outputs[one.output] = std::isfinite(one.largest) ? nlohmann::json(one.largest) : nullptr;
    }
    const nlohmann::ordered_json object = {{"module", options.module},
                                           {"passed", passed},
                                           {"tolerance", options.tolerance},
                                           {"largest_difference", outputs}};
    std::cout << object.dump(2) << '\n';
  } else {
    for (const auto& one : differences) std::cout << one.output << ": " << one.largest << '\n';
    std::cout << (passed ? "passed" : "failed") << ", tolerance " << options.tolerance << '\n';
  }
  return passed ? 0 : 1;
}

}  // namespace rahf::program
