#include <algorithm>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "rahf/core/error.h"
#include "rahf/generators/pretrain/autoencoder_training.h"
#include "rahf/generators/pretrain/clip_training.h"
#include "rahf/generators/pretrain/diffusion_pretraining.h"
#include "rahf/generators/pretrain/muse_pretraining.h"
#include "rahf/world/caption.h"
#include "rahf/world/captions_of_one_group.h"
#include "rahf/world/picture_stream.h"
#include "rahf/world/verdict.h"
#include "sampling.h"
#include "verb.h"
#include "verbs.h"
#include "world_options.h"

namespace rahf::program {
namespace {

using generators::PretrainingPlace;

/// What every kind of model is pretrained with: where, and on which pictures.
struct PretrainVerbOptions {
  std::string kind;
  std::string out;
  bool resume = false;
  std::string device = "cpu";
  bool half = false;
  std::string note;
  WorldChoice world;
  world::CaptionPart captions = world::CaptionPart::kAll;
  std::uint64_t world_seed = 0;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("kind", self.kind,
          "what is pretrained: an autoencoder, vq or vae, a generator, diffusion or muse, or clip "
          "(required)");
    visit("out", self.out, "folder of the run (required)");
    visit("resume", self.resume, "go on with the run in --out if there is one");
    visit("device", self.device, "cpu, cuda or cuda:N");
    visit("half", self.half, "write the model in half precision");
    visit("note", self.note, "kept in the model's metadata, beside command and seed");
    visit("world", self.world, "");
    visit("captions", self.captions,
          "which captions of one group pictures are drawn for; all: any that the world allows");
    visit("world_seed", self.world_seed, "of the closed world's pictures; >= 0");
  }
};

/// What autoencoders need besides: nothing.
struct NoJudge {
  template <class Self, class Visit>
  static void fields(Self&, Visit&&) {}
  void validate() const {}
};

/// How a generator's samples are made for the inspector, at evaluations.
struct SampleJudge {
  SamplingOptions judge;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("judge", self.judge, "");
  }
  void validate() const { judge.validate(); }

  /// What the inspector says of a picture for each held-out caption.
  train::RunLog::Values operator()(Generator& generator) const {
    Prompts prompts;
    for (const auto& text : world::captions_of_one_group(world::CaptionPart::kHeldOut)) {
      prompts.push_back({text});
    }
    const auto images = sample_pictures(generator, prompts, judge, /*seed=*/0);
    const auto said =
        world::means(world::inspect_all(inspector, images, prompts), prompts, {.resamples = 0});
    train::RunLog::Values values;
    for (const auto& [name, figure] : said.figures()) {
      values.emplace_back("judge/" + name, figure.value);
    }
    return values;
  }

  world::Inspector inspector = world::Inspector();
};

/// The kind that a command line or its config file names; the options depend on it.
std::string kind_of(const std::vector<std::string>& arguments) {
  const auto value_of = [&](const std::string& name) -> std::string {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (arguments[i].starts_with(name + '=')) return arguments[i].substr(name.size() + 1);
      if (arguments[i] == name && i + 1 < arguments.size()) return arguments[i + 1];
    }
    return {};
  };
  if (const auto kind = value_of("--kind"); !kind.empty()) return kind;
  std::ifstream config(value_of("--config"));
  for (std::string line; std::getline(config, line);) {
    line = line.substr(0, line.find('#'));
    line.erase(std::remove_if(line.begin(), line.end(), [](unsigned char c) { return c <= ' '; }),
               line.end());
    if (line.starts_with("kind=")) return line.substr(5);
  }
  return {};
}

/// Parses the options of one kind, and pretrains it.
/// @param train  (Training options, pictures, place, judge)
template <class Training, class Judge, class Train>
int pretrain(const std::vector<std::string>& arguments, Train&& train) {
  PretrainVerbOptions options;
  Training training;
  Judge judge;
  if constexpr (requires { training.words; }) training.words = world::vocabulary();
  CommonOptions common;
  CommandLine::Parsed parsed;
  auto fields = verb_fields(options, common);
  for (auto& field : option_fields(training)) fields.push_back(std::move(field));
  for (auto& field : option_fields(judge)) fields.push_back(std::move(field));
  const CommandLine command{.usage = "rahf pretrain --config FILE --out RUN [--resume]",
                            .summary =
                                "Trains a model on pictures of the closed world from the start, "
                                "and leaves a run folder:\n"
                                "run.cfg, metrics.jsonl, TensorBoard events, checkpoints/, and "
                                "model/. The options below\n"
                                "are those of the kind that --kind or the config file names.",
                            .options = std::move(fields),
                            .positional = {}};
  const auto validate = [&] {
    require_option("kind", options.kind);
    options.world.complete(parsed, "world.");
    options.world.options.validate();
    training.validate();
    judge.validate();
  };
  if (parse_verb(command, arguments, common, parsed, validate)) return 0;
  require_option("out", options.out);

  std::vector<std::string> captions;
  if (options.captions != world::CaptionPart::kAll) {
    captions = world::captions_of_one_group(options.captions);
  }
  const world::PictureStream pictures(options.world.options, Randomness(options.world_seed),
                                      captions);
  std::string line = "rahf pretrain";
  for (const auto& argument : arguments) line += ' ' + argument;
  PretrainingPlace place{.run = options.out,
                         .resume = options.resume,
                         .device = device_option(options.device),
                         .half = options.half,
                         .note = {{"command", line}}};
  if (!options.note.empty()) place.note["note"] = options.note;
  train(training, pictures, place, judge);

  const auto model = place.model().string();
  if (common.json) {
    std::cout << nlohmann::ordered_json{{"kind", options.kind}, {"model", model}}.dump() << '\n';
  } else {
    std::cout << "model: " << model << '\n';
  }
  return 0;
}

}  // namespace

int run_pretrain(const std::vector<std::string>& arguments) {
  using generators::ClipTraining, generators::DiffusionPretraining, generators::MusePretraining;
  using generators::VaeTraining, generators::VqTraining;
  const auto kind = kind_of(arguments);
  if (kind == "diffusion") {
    return pretrain<DiffusionPretraining, SampleJudge>(
        arguments,
        [](const auto& options, const auto& pictures, const auto& place, SampleJudge& judge) {
          generators::train_diffusion(options, pictures, place, std::ref(judge));
        });
  }
  if (kind == "muse") {
    return pretrain<MusePretraining, SampleJudge>(
        arguments,
        [](const auto& options, const auto& pictures, const auto& place, SampleJudge& judge) {
          generators::train_muse(options, pictures, place, std::ref(judge));
        });
  }
  if (kind == "clip") {
    return pretrain<ClipTraining, NoJudge>(
        arguments, [](const auto& options, const auto& pictures, const auto& place, NoJudge&) {
          generators::train_clip(options, pictures, place);
        });
  }
  if (kind == "vae") {
    return pretrain<VaeTraining, NoJudge>(
        arguments, [](const auto& options, const auto& pictures, const auto& place, NoJudge&) {
          generators::train_vae(options, pictures, place);
        });
  }
  if (kind == "vq" || kind.empty()) {
    return pretrain<VqTraining, NoJudge>(
        arguments, [](const auto& options, const auto& pictures, const auto& place, NoJudge&) {
          generators::train_vq(options, pictures, place);
        });
  }
  throw UsageError("--kind must be vq, vae, diffusion, muse or clip, got '" + kind + "'");
}

}  // namespace rahf::program
