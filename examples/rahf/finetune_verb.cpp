#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "finetuning.h"
#include "picture_judge.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/prompt_file.h"
#include "rahf/generators/registry.h"
#include "rahf/reward/model/registry.h"
#include "rahf/rl/loop/finetune.h"
#include "rahf/world/captions_of_one_group.h"
#include "side_by_side.h"
#include "verb.h"
#include "verbs.h"

namespace rahf::program {
namespace {

struct FinetuneVerbOptions {
  std::string generator;
  std::string reward;
  std::string prompts = "world";
  std::string held_out = "world";
  std::string judge = "none";
  std::string out;
  bool resume = false;
  std::string device = "cpu";
  rl::FinetuneOptions run;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("generator", self.generator, "pipeline folder of the model to finetune (required)");
    visit("reward", self.reward, "model folder of the reward (required)");
    visit("prompts", self.prompts,
          "file of prompts to learn from, one a line, or a .csv with a column 'prompt'; 'world' is "
          "the closed world's captions of one group but for those held out");
    visit("held_out", self.held_out,
          "file of prompts to follow the run by; 'world' is the captions held out, 'none' none");
    visit("judge", self.judge,
          "who judges beside the reward and compares before and after: inspector (captions of the "
          "closed world only), a reward's model folder, or none");
    visit("out", self.out, "folder of the run (required)");
    visit("resume", self.resume, "go on with the run in --out if there is one");
    visit("device", self.device, "cpu, cuda or cuda:N");
    rl::FinetuneOptions::fields(self.run, visit);
  }
};

// What `objective` the arguments or their config file name, before anything else is read: the other
// options depend on it.
std::string chosen_objective(const std::vector<std::string>& arguments, std::string otherwise) {
  std::string config;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    for (const auto& [option, value] :
         {std::pair{"--objective", &otherwise}, std::pair{"--config", &config}}) {
      const std::string name = option;
      if (arguments[i] == name && i + 1 < arguments.size()) *value = arguments[i + 1];
      if (arguments[i].starts_with(name + "=")) *value = arguments[i].substr(name.size() + 1);
    }
  }
  const bool is_given = std::any_of(arguments.begin(), arguments.end(), [](const auto& argument) {
    return argument == "--objective" || argument.starts_with("--objective=");
  });
  if (is_given || config.empty()) return otherwise;
  // Every other line is read, and refused where it must be, later.
  std::istringstream lines(io::read_file(config));
  for (std::string line; std::getline(lines, line);) {
    line = line.substr(0, line.find('#'));
    std::istringstream words(line);
    std::string name, equals, value;
    if (words >> name >> equals >> value && name == "objective" && equals == "=") return value;
  }
  return otherwise;
}

Prompts prompts_of(const std::string& source, world::CaptionPart part) {
  if (source == "none") return {};
  if (source != "world") return io::read_prompts(source);
  Prompts prompts;
  for (auto& caption : world::captions_of_one_group(part)) prompts.push_back({std::move(caption)});
  return prompts;
}

nlohmann::ordered_json to_json(const train::RunLog::Values& values) {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  for (const auto& [name, value] : values) all[name] = value;
  return all;
}

// Before against after, as this judge sees them.
std::vector<SideBySide> compared(const PictureJudge& judge, const rl::FinetuneResult& result) {
  return side_by_side(judge.scores(result.pictures_before, result.prompts),
                      judge.scores(result.pictures_after, result.prompts), judge.score_names(),
                      result.prompts);
}

}  // namespace

nlohmann::ordered_json Finetuned::json() const {
  auto all = facts;
  all["model"] = model;
  all["objective"] = objective;
  all["by_reward"] = side_by_side_json(by_reward);
  all["by_judge"] = side_by_side_json(by_judge);
  return all;
}

Finetuned run_finetuning(const std::vector<std::string>& arguments) {
  FinetuneVerbOptions options;
  CommonOptions common;
  options.run.objective = chosen_objective(arguments, options.run.objective);
  std::unique_ptr<rl::ObjectiveSettings> settings;
  try {
    settings = rl::objective(options.run.objective).settings();
  } catch (const ConfigError& error) {
    throw UsageError(error.what());
  }
  std::string names;
  for (const auto& one : rl::objectives()) names += "\n  " + one.name + ": " + one.summary;
  CommandLine command{
      .usage =
          "rahf finetune --config FILE [--generator DIR --reward DIR --objective NAME --updates N "
          "--seed S] --out RUN [--resume]",
      .summary =
          "Finetunes a generator on a reward. Leaves in RUN: model/, before.png and after.png "
          "(the\n"
          "same held-out prompts and draws), pictures/ over the run, run.cfg, metrics.jsonl,\n"
          "TensorBoard events, checkpoints/. A run that was stopped goes on with --resume and "
          "ends\n"
          "as if it had not been stopped. Objectives, whose options begin with their name:" +
          names,
      .options = verb_fields(options, common),
      .positional = {}};
  for (auto& field : settings->fields(rl::option_prefix(options.run.objective))) {
    command.options.push_back(std::move(field));
  }
  CommandLine::Parsed parsed;
  const auto validate = [&] {
    options.run.validate();
    settings->validate();
  };
  try {
    if (parse_verb(command, arguments, common, parsed, validate)) return {};
  } catch (const UsageError& error) {
    const std::string text = error.what();
    for (const auto& one : rl::objectives()) {
      if (text.find("unknown option '" + rl::option_prefix(one.name)) == std::string::npos)
        continue;
      throw UsageError(text + " (of objective " + one.name + "; this run's is " +
                       options.run.objective + ")");
    }
    throw;
  }
  require_option("generator", options.generator);
  require_option("reward", options.reward);
  require_option("out", options.out);

  const auto device = device_option(options.device);
  const auto prompts = prompts_of(options.prompts, world::CaptionPart::kLearn);
  const auto held_out = prompts_of(options.held_out, world::CaptionPart::kHeldOut);
  const auto generator = generators::load_generator(options.generator, device);
  const auto reward = reward::load_reward(options.reward, device);
  std::unique_ptr<PictureJudge> judge;
  if (options.judge != "none") judge = load_judge(options.judge, device);

  rl::FinetuneParts parts{
      .generator = *generator, .reward = *reward, .prompts = prompts, .held_out = held_out};
  if (judge) {
    parts.judge = [&](const torch::Tensor& images, const Prompts& asked) {
      const auto means = judge->scores(images, asked).mean(0);
      train::RunLog::Values values;
      const auto scores = judge->score_names();
      for (std::size_t k = 0; k < scores.size(); ++k) {
        values.emplace_back(scores[k], means[static_cast<std::int64_t>(k)].item<double>());
      }
      return values;
    };
  }
  const auto result = rl::finetune(options.run, *settings, parts,
                                   {.run = options.out,
                                    .resume = options.resume,
                                    .facts = {{"generator", options.generator},
                                              {"reward", options.reward},
                                              {"prompts", std::to_string(prompts.size())},
                                              {"held_out", std::to_string(held_out.size())}}});
  Finetuned done{.objective = options.run.objective, .model = options.out + "/model"};
  done.facts = {{"updates", result.updates},
                {"pictures", result.pictures},
                {"seconds", result.seconds},
                {"before", to_json(result.before)},
                {"after", to_json(result.after)}};
  if (!held_out.empty()) {
    done.by_reward = compared(*load_judge(options.reward, device), result);
    if (judge) done.by_judge = compared(*judge, result);
  }
  return done;
}

int run_finetune(const std::vector<std::string>& arguments) {
  const auto done = run_finetuning(arguments);
  if (done.model.empty()) return 0;
  if (std::find(arguments.begin(), arguments.end(), "--json") != arguments.end()) {
    std::cout << done.json().dump(2) << '\n';
    return 0;
  }
  if (!done.by_reward.empty()) {
    std::cout << "by the reward:\n" << side_by_side_text(done.by_reward);
  }
  if (!done.by_judge.empty()) {
    std::cout << "by the judge:\n" << side_by_side_text(done.by_judge);
  }
  std::cout << "model: " << done.model << '\n';
  return 0;
}

}  // namespace rahf::program
