#include <iostream>
#include <nlohmann/json.hpp>

#include "rahf/reward/consolidate.h"
#include "verbs.h"

namespace rahf::program {
namespace {

using nlohmann::ordered_json;

void print_consolidated(const reward::ConsolidateOptions& options,
                        const reward::ConsolidateReport& report, bool json) {
  for (const auto& problem : report.problems) std::cerr << problem.text() << '\n';
  const auto left_out = report.problems.size();
  if (json) {
    auto problems = ordered_json::array();
    for (const auto& problem : report.problems) {
      problems.push_back(
          {{"file", problem.file}, {"line", problem.line}, {"reason", problem.reason}});
    }
    const ordered_json object = {
        {"written", report.written},   {"out", options.out},
        {"pictures", report.pictures}, {"records", report.records},
        {"map_size", report.map_size}, {"continued_at", report.continued_at},
        {"left_out", left_out},        {"problems", problems}};
    std::cout << object.dump(2, ' ', false, ordered_json::error_handler_t::replace) << '\n';
  } else if (report.written) {
    if (report.continued_at > 0) {
      std::cout << "went on after the " << report.continued_at
                << " pictures that an earlier call had written\n";
    }
    std::cout << options.out << ": " << report.pictures << " pictures, " << report.records
              << " records, heatmaps of " << report.map_size << " x " << report.map_size << '\n';
    if (left_out > 0) std::cout << left_out << " bad records were left out\n";
  }
  if (!report.written) {
    std::cerr << left_out << " bad records; nothing was written (--skip-bad leaves them out)\n";
  }
}

int consolidate(const std::vector<std::string>& arguments) {
  reward::ConsolidateOptions options;
  CommonOptions common;
  const CommandLine command{
      .usage = "rahf dataset consolidate --annotations FILE --pictures DIR --out FILE.h5",
      .summary =
          "Makes one dataset of pictures and what several people said about each: heatmaps, "
          "scores, misaligned words. Bad records are listed with file, line and reason, and "
          "keep it from writing. Killed and called again, it goes on.",
      .options = verb_fields(options, common),
      .positional = ""};
  CommandLine::Parsed parsed;
  if (parse_verb(command, arguments, common, parsed)) return 0;
  require_option("annotations", options.annotations);
  require_option("pictures", options.pictures);
  require_option("out", options.out);
  const auto report = reward::consolidate(options);
  print_consolidated(options, report, common.json);
  return report.written ? 0 : 1;
}

const std::vector<Verb> kActions = {
    {"consolidate", "annotations and pictures to a dataset", consolidate},
};

}  // namespace

int run_dataset(const std::vector<std::string>& arguments) {
  for (const auto& action : kActions) {
    if (!arguments.empty() && arguments[0] == action.name) {
      return action.run({arguments.begin() + 1, arguments.end()});
    }
  }
  const bool help = !arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h");
  auto& out = help ? std::cout : std::cerr;
  out << "usage: rahf dataset ACTION [--option value ...]\n\nactions:\n";
  for (const auto& action : kActions) {
    const std::string name = action.name;
    out << "  " << name << std::string(14 - name.size(), ' ') << action.summary << '\n';
  }
  out << "\n'rahf dataset ACTION --help' lists an action's options.\n";
  return help ? 0 : 2;
}

}  // namespace rahf::program
