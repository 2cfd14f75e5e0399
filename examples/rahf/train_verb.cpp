#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "rahf/reward/train/train.h"
#include "verb.h"
#include "verbs.h"

namespace rahf::program {
namespace {

struct TrainVerbOptions {
  std::vector<std::string> data;
  std::string out;
  bool resume = false;
  std::string device = "cpu";
  std::string note;
  reward::TrainOptions train;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("data", self.data, "HDF5 datasets to learn from, separated by commas");
    visit("out", self.out, "folder of the run");
    visit("resume", self.resume, "go on with the run in --out if there is one");
    visit("device", self.device, "cpu, cuda or cuda:N");
    visit("note", self.note, "kept in the model's metadata, beside command and seed");
    reward::TrainOptions::fields(self.train, visit);
  }
};

}  // namespace

int run_train(const std::vector<std::string>& arguments) {
  TrainVerbOptions options;
  CommonOptions common;
  const CommandLine command{
      .usage = "rahf train [--config FILE] --data FILE.h5 --out RUN [--resume]",
      .summary =
          "Trains RAHF on a dataset and leaves a run folder: run.cfg, metrics.jsonl, TensorBoard\n"
          "events, checkpoints/, and model/, which 'rahf predict' and 'rahf evaluate' take. A run\n"
          "that was stopped, by a signal or otherwise, goes on with --resume and ends as if it had "
          "not\n"
          "been stopped. Stages follow each other: what --stage.1.NAME sets holds in the first "
          "instead of --NAME.",
      .options = verb_fields(options, common),
      .positional = {}};
  CommandLine::Parsed parsed;
  const auto validate = [&] { options.train.validate(); };
  if (parse_verb(command, arguments, common, parsed, validate)) return 0;
  if (options.data.empty()) throw UsageError("--data is required");
  require_option("out", options.out);
  if (!options.train.init.empty()) {
    for (const auto& name : parsed.given) {
      if (!name.starts_with("model.")) continue;
      throw UsageError("--" + name + " cannot be given with --init, whose model has its own");
    }
  }

  const reward::Dataset dataset({options.data.begin(), options.data.end()});
  std::string line = "rahf train";
  for (const auto& argument : arguments) line += ' ' + argument;
  std::map<std::string, std::string> note = {{"command", line},
                                             {"seed", std::to_string(options.train.seed)}};
  if (!options.note.empty()) note["note"] = options.note;
  reward::train_rahf(options.train, dataset,
                     {.run = options.out,
                      .resume = options.resume,
                      .device = device_option(options.device),
                      .note = note});
  const auto model = options.out + "/model";
  if (common.json) {
    std::int64_t updates = 0;
    for (const auto& course : options.train.courses()) updates += course.updates;
    std::cout << nlohmann::json{{"model", model}, {"updates", updates}} << '\n';
  } else {
    std::cout << "model: " << model << '\n';
  }
  return 0;
}

}  // namespace rahf::program
