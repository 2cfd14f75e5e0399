#include <cmath>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "finetuning.h"
#include "rahf/core/io/atomic_file.h"
#include "verb.h"
#include "verbs.h"

namespace rahf::program {
namespace {

struct StudyOptions {
  std::vector<std::string> cells;
  std::vector<std::string> seeds = {"1"};
  std::vector<std::string> set;
  std::string out;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("cells", self.cells, "config files of 'rahf finetune', separated by commas (required)");
    visit("seeds", self.seeds, "each cell is run once per seed");
    visit("set", self.set, "option=value pairs for every cell, over its config");
    visit("out", self.out, "folder of the study, a folder per cell (required)");
  }
};

using Json = nlohmann::ordered_json;

std::string number(double value) {
  std::ostringstream text;
  text << std::showpos << std::fixed << std::setprecision(3) << value;
  return text.str();
}

// "+0.120 [+0.090, +0.150]"; empty if this score was not judged.
std::string gain(const Json& table, const std::string& score) {
  if (!table.contains(score)) return "";
  const auto& row = table.at(score);
  return number(row.at("gain")) + " [" + number(row.at("gain_low")) + ", " +
         number(row.at("gain_high")) + "]";
}

}  // namespace

int run_study(const std::vector<std::string>& arguments) {
  StudyOptions options;
  CommonOptions common;
  CommandLine::Parsed parsed;
  const CommandLine command{
      .usage = "rahf study --cells FILE.cfg,... --out DIR [--seeds 1,2,3] [--set option=value]",
      .summary =
          "Finetunes once per config file and seed, and prints one table of gains on held-out\n"
          "prompts, by reward and judge, with 95 % intervals. A finished cell is kept; a study\n"
          "that was stopped goes on where it was.",
      .options = verb_fields(options, common),
      .positional = {}};
  const auto validate = [&] {
    if (options.cells.empty()) throw UsageError("--cells is required");
    require_option("out", options.out);
  };
  if (parse_verb(command, arguments, common, parsed, validate)) return 0;

  Json rows = Json::array();
  for (const auto& cell : options.cells) {
    for (const auto& seed : options.seeds) {
      const auto name = std::filesystem::path(cell).stem().string() + "-seed" + seed;
      const auto folder = std::filesystem::path(options.out) / name;
      const auto file = folder / "result.json";
      if (!std::filesystem::exists(file)) {
        std::filesystem::create_directories(folder);
        std::vector<std::string> own = {
            "--config", cell, "--seed", seed, "--out", (folder / "run").string(), "--resume"};
        for (const auto& pair : options.set) {
          const auto at = pair.find('=');
          if (at == std::string::npos) throw UsageError("--set needs option=value, got " + pair);
          own.push_back("--" + pair.substr(0, at));
          own.push_back(pair.substr(at + 1));
        }
        io::write_atomically(file, run_finetuning(own).json().dump(2) + "\n");
      }
      auto row = Json::parse(io::read_file(file));
      row["cell"] = name;
      rows.push_back(std::move(row));
    }
  }

  std::ostringstream table;
  table << "| cell | updates | pictures | seconds | reward: plausibility | reward: alignment | "
           "judge: plausibility | judge: alignment | judge: aesthetics |\n"
           "|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& row : rows) {
    const auto& reward = row.at("by_reward");
    const auto& judge = row.at("by_judge");
    table << "| " << row.at("cell").get<std::string>() << " | " << row.at("updates") << " | "
          << row.at("pictures") << " | " << std::lround(row.at("seconds").get<double>()) << " | "
          << gain(reward, "plausibility") << " | " << gain(reward, "alignment") << " | "
          << gain(judge, "plausibility") << " | " << gain(judge, "alignment") << " | "
          << gain(judge, "aesthetics") << " |\n";
  }
  io::write_atomically(std::filesystem::path(options.out) / "table.md", table.str());
  io::write_atomically(std::filesystem::path(options.out) / "table.json", rows.dump(2) + "\n");
  if (common.json) {
    std::cout << rows.dump(2) << '\n';
  } else {
    std::cout << table.str();
  }
  return 0;
}

}  // namespace rahf::program
