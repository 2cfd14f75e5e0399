#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "outputs.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/image_file.h"
#include "rahf/reward/data/consolidate.h"
#include "rahf/reward/data/dataset.h"
#include "rahf/reward/data/dataset_stats.h"
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
  if (parse_verb(command, arguments, common, parsed, [&] { options.validate(); })) return 0;
  require_option("annotations", options.annotations);
  require_option("pictures", options.pictures);
  require_option("out", options.out);
  check_output(options.out, {options.annotations}, is_hdf5);
  const auto report = reward::consolidate(options);
  print_consolidated(options, report, common.json);
  return report.written ? 0 : 1;
}

struct StatsOptions {
  std::string split = "all";
  std::string out;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("split", self.split, "part of the data to count: train, dev, test or all");
    visit("out", self.out, "folder for stats.txt, stats.json and stats.png; none writes no files");
  }
};

int stats(const std::vector<std::string>& arguments) {
  StatsOptions options;
  CommonOptions common;
  const CommandLine command{
      .usage = "rahf dataset stats FILE.h5... [--split NAME] [--out DIR]",
      .summary = "Counts what a dataset holds: scores, how far annotators agree, clicks, words.",
      .options = verb_fields(options, common),
      .positional = "FILE.h5"};
  CommandLine::Parsed parsed;
  if (parse_verb(command, arguments, common, parsed)) return 0;
  if (parsed.arguments.empty()) throw UsageError("name a dataset file");
  const std::filesystem::path folder(options.out);
  if (!options.out.empty()) {
    const auto own = [](const char* start) {
      return [start](const std::string& text) { return text.starts_with(start); };
    };
    check_output(folder / "stats.txt", parsed.arguments,
                 [](const std::string& text) { return text.find(" pictures, ") != text.npos; });
    check_output(folder / "stats.json", parsed.arguments, own("{\n  \"pictures\": "));
    check_output(folder / "stats.png", parsed.arguments, is_picture);
  }
  const reward::Dataset dataset({parsed.arguments.begin(), parsed.arguments.end()});
  const auto counted = reward::dataset_stats(dataset, dataset.indices(options.split));
  const auto text = reward::stats_text(counted);
  const auto json = reward::stats_json(counted) + '\n';
  std::cout << (common.json ? json : text);
  if (!options.out.empty()) {
    io::write_atomically(folder / "stats.txt", text);
    io::write_atomically(folder / "stats.json", json);
    io::write_image(folder / "stats.png", reward::stats_picture(counted));
  }
  return 0;
}

const std::vector<Verb> kActions = {
    {"consolidate", "annotations and pictures to a dataset", consolidate},
    {"stats", "what a dataset holds, and how far its annotators agree", stats},
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
