#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "inspector_trial.h"
#include "verbs.h"

namespace rahf::program {
namespace {

struct InspectVerbOptions {
  bool self_test = false;
  std::int64_t count = 200;
  std::uint64_t seed = 5;
  world::InspectorOptions inspector;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("self-test", self.self_test, "tries the inspector on pictures of which all is known");
    visit("count", self.count, "pictures of each kind for --self-test; > 0");
    visit("seed", self.seed, "of the self-test's pictures; >= 0");
    world::InspectorOptions::fields(self.inspector, visit);
  }
};

int self_test(const InspectVerbOptions& options, bool json) {
  const world::Inspector inspector(options.inspector);
  const auto figures = try_inspector(inspector, options.count, options.seed);
  bool all_hold = true;
  auto result = nlohmann::ordered_json::object();
  for (const auto& one : figures) {
    all_hold &= holds(one);
    result[one.name] = {{"value", one.value}, {"count", one.count}};
    if (!one.requirement.empty()) result[one.name]["required"] = one.requirement;
    if (json) continue;
    std::cout << std::left << std::setw(36) << one.name << std::right << std::fixed
              << std::setprecision(4) << std::setw(9) << one.value << std::setw(9) << one.count
              << "  " << one.requirement << (holds(one) ? "" : "  MISSED") << '\n';
  }
  if (json) std::cout << result.dump() << '\n';
  return all_hold ? 0 : 1;
}

}  // namespace

int run_inspect(const std::vector<std::string>& arguments) {
  InspectVerbOptions options;
  CommonOptions common;
  CommandLine::Parsed parsed;
  const CommandLine command{.usage = "rahf inspect PICTURE... --prompt TEXT | --prompts FILE.csv",
                            .summary = "Says what the closed world's inspector sees in pictures.",
                            .options = verb_fields(options, common),
                            .positional = "PICTURE"};
  if (parse_verb(command, arguments, common, parsed, [&] { options.inspector.validate(); })) {
    return 0;
  }
  return self_test(options, common.json);
}

}  // namespace rahf::program
