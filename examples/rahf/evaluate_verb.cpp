#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "rahf/core/progress.h"
#include "rahf/core/words.h"
#include "rahf/reward/metrics/evaluate_dataset.h"
#include "rahf/reward/model/registry.h"
#include "verbs.h"

namespace rahf::program {
namespace {

using nlohmann::json;
using reward::Measured;
using reward::Report;

struct EvaluateVerbOptions {
  std::vector<std::string> model;
  std::vector<std::string> data;
  std::string split = "auto";
  std::string truth;
  std::int64_t limit = 0;
  bool baselines = false;
  std::vector<std::string> strata_words;
  std::int64_t batch = 32;
  double threshold = .5;
  bool no_greedy = false;
  std::string device = "cpu";
  reward::BootstrapOptions bootstrap;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("model", self.model,
          "folders of rewards, separated by commas; none: baselines and ceilings alone");
    visit("data", self.data, "dataset files, separated by commas");
    visit("split", self.split,
          "part of the data: train, dev, test, all, or auto: test if there is one, else all");
    visit("truth", self.truth, "file of exact truth, as rahf world writes it");
    visit("limit", self.limit, "at most so many pictures, the first ones; 0: all; >= 0");
    visit("baselines", self.baselines,
          "also the training data's mean, and every pixel that is not of the background's colour");
    visit("strata_words", self.strata_words,
          "also apart: prompts with one of these words, and prompts without");
    visit("batch", self.batch, "pictures judged together; > 0");
    visit("threshold", self.threshold, "probability from which a word is misaligned; in [0, 1]");
    visit("no_greedy", self.no_greedy, "do not decode words greedily, which takes longer");
    visit("device", self.device, "cpu, cuda or cuda:N");
    visit("bootstrap", self.bootstrap, "");
  }
  void validate() const {
    if (limit < 0) throw UsageError("--limit must be >= 0");
    if (batch <= 0) throw UsageError("--batch must be > 0");
    if (!(threshold >= 0 && threshold <= 1)) throw UsageError("--threshold must be in [0, 1]");
    bootstrap.validate();
  }
};

/// Somebody whose opinions were measured.
struct Judge {
  std::string title;
  std::vector<Measured> measured;
  bool intervals = false;
};

std::vector<std::int64_t> rows_of(const reward::Dataset& dataset, const std::string& split) {
  if (split != "auto") return dataset.indices(split);
  auto rows = dataset.indices("test");
  return rows.empty() ? dataset.indices("all") : rows;
}

// "rahf-tiny" for assets/rahf-tiny/, the run's name for RUN/model.
std::string title_of(const std::filesystem::path& model) {
  auto folder = std::filesystem::absolute(model).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  if (folder.filename() == "model" && folder.has_parent_path()) folder = folder.parent_path();
  return folder.filename().string();
}

Judge judge_by(Reward& reward, const std::string& title, const reward::EvaluationSet& set,
               const EvaluateVerbOptions& options, bool intervals) {
  Progress progress("pictures by " + title, std::ssize(set.rows));
  return {title,
          measure_reward(reward, set,
                         {.batch = options.batch,
                          .threshold = options.threshold,
                          .greedy = !options.no_greedy,
                          .progress = [&](std::int64_t count) { progress.add(count); }}),
          intervals};
}

/// The prompts with one of some words, or those without.
struct Stratum {
  std::string title;
  std::vector<bool> members;  ///< By picture number.

  std::vector<Measured> of(const std::vector<Measured>& measured) const {
    std::vector<Measured> some;
    std::copy_if(measured.begin(), measured.end(), std::back_inserter(some),
                 [&](const Measured& one) { return members[one.picture]; });
    return some;
  }
};

std::vector<Stratum> strata_of(const std::vector<std::string>& words,
                               const reward::EvaluationSet& set) {
  if (words.empty()) return {};
  Stratum with{"with", {}}, without{"without", {}};
  for (const auto row : set.rows) {
    const auto prompt = split_words(set.dataset.prompt(row));
    const bool found = std::find_first_of(prompt.begin(), prompt.end(), words.begin(),
                                          words.end()) != prompt.end();
    with.members.push_back(found);
    without.members.push_back(!found);
  }
  return {with, without};
}

json judge_json(const Judge& judge, const std::vector<Stratum>& strata,
                const reward::BootstrapOptions& bootstrap) {
  auto object = to_json(report(judge.measured, bootstrap));
  for (const auto& stratum : strata) {
    object["strata"][stratum.title] = to_json(report(stratum.of(judge.measured), bootstrap));
  }
  return object;
}

void print_table(const std::vector<Judge>& judges, const reward::BootstrapOptions& bootstrap,
                 const Stratum* stratum) {
  std::vector<reward::ReportColumn> columns;
  for (const auto& judge : judges) {
    auto options = bootstrap;
    if (!judge.intervals) options.resamples = 0;
    columns.push_back({judge.title,
                       report(stratum ? stratum->of(judge.measured) : judge.measured, options),
                       judge.intervals});
  }
  std::cout << report_table(columns);
}

}  // namespace

int run_evaluate(const std::vector<std::string>& arguments) {
  EvaluateVerbOptions options;
  CommonOptions common;
  const CommandLine command{
      .usage = "rahf evaluate --model DIR[,DIR2...] --data FILE.h5[,FILE2...]",
      .summary =
          "Measures rewards against annotators: correlation of scores, agreement of heatmaps, "
          "misaligned words, with bootstrap intervals, beside the ceiling (one annotator against "
          "the mean of the others; with --truth also exact truth against their mean).",
      .options = verb_fields(options, common),
      .positional = ""};
  CommandLine::Parsed parsed;
  if (parse_verb(command, arguments, common, parsed, [&] { options.validate(); })) return 0;
  if (options.data.empty()) require_option("data", "");

  const reward::Dataset dataset({options.data.begin(), options.data.end()});
  std::optional<reward::TruthFile> truth;
  if (!options.truth.empty()) truth.emplace(options.truth);
  reward::EvaluationSet set{.dataset = dataset,
                            .rows = rows_of(dataset, options.split),
                            .truth = truth ? &*truth : nullptr};
  if (options.limit > 0 && options.limit < std::ssize(set.rows)) set.rows.resize(options.limit);
  if (set.rows.empty()) {
    throw FileError(options.data.front() + ": the split '" + options.split +
                    "' must hold a picture, but is empty");
  }
  const auto strata = strata_of(options.strata_words, set);

  std::vector<Judge> models, baselines, ceilings;
  for (const auto& folder : options.model) {
    const auto model = reward::load_reward(folder, device_option(options.device));
    models.push_back(judge_by(*model, title_of(folder), set, options, true));
  }
  if (options.baselines) {
    const auto train = dataset.indices("train");
    reward::ConstantReward constant(mean_feedback(dataset, train.empty() ? set.rows : train));
    reward::ColouredPixelsReward coloured;
    baselines.push_back(judge_by(constant, "constant", set, options, false));
    baselines.push_back(judge_by(coloured, "coloured pixels", set, options, false));
  }
  ceilings.push_back({"annotator", measure_annotators(set)});
  if (truth) ceilings.push_back({"exact truth", measure_truth(set)});

  if (common.json) {
    const auto figures = [&](const Judge& judge) {
      return judge_json(judge, strata, options.bootstrap);
    };
    auto object = models.size() == 1 ? figures(models.front()) : json::object();
    for (std::size_t i = 0; models.size() > 1 && i < models.size(); ++i) {
      auto one = figures(models[i]);
      one["model"] = options.model[i];
      object["models"].push_back(std::move(one));
    }
    object["ceiling"] = figures(ceilings.front());
    if (truth) object["ceiling_truth"] = figures(ceilings.back());
    for (const auto& judge : baselines) object["baselines"][judge.title] = figures(judge);
    std::cout << object.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
    return 0;
  }

  std::vector<Judge> all;
  for (auto* judges : {&models, &baselines, &ceilings}) {
    std::move(judges->begin(), judges->end(), std::back_inserter(all));
  }
  print_table(all, options.bootstrap, nullptr);
  for (const auto& stratum : strata) {
    std::cout << "\nprompts " << stratum.title << " any of:";
    for (const auto& word : options.strata_words) std::cout << ' ' << word;
    std::cout << '\n';
    print_table(all, options.bootstrap, &stratum);
  }
  return 0;
}

}  // namespace rahf::program
