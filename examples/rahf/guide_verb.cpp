#include <array>
#include <filesystem>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "picture_judge.h"
#include "rahf/core/draw/picture_grid.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/csv.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/progress.h"
#include "rahf/generators/registry.h"
#include "rahf/reward/model/registry.h"
#include "rahf/rl/loop/scorer.h"
#include "rahf/rl/steering/guidance.h"
#include "rahf/rl/steering/keyword_guidance.h"
#include "rahf/rl/steering/particles.h"
#include "sampling.h"
#include "side_by_side.h"
#include "verb.h"
#include "verbs.h"

namespace rahf::program {
namespace {

namespace fs = std::filesystem;

enum class Method { kClassifier, kParticles, kBestOfN, kKeywords };

}  // namespace
}  // namespace rahf::program

template <>
struct rahf::EnumNames<rahf::program::Method> {
  using Method = rahf::program::Method;
  static constexpr std::array<std::pair<Method, std::string_view>, 4> value = {
      {{Method::kClassifier, "classifier"},
       {Method::kParticles, "particles"},
       {Method::kBestOfN, "best-of-n"},
       {Method::kKeywords, "keywords"}}};
};

namespace rahf::program {
namespace {

struct GuideVerbOptions {
  std::string generator;
  std::string reward;
  std::string prompt;
  std::string prompts;
  Method method = Method::kClassifier;
  double scale = 1;
  std::int64_t n = 4;
  std::int64_t count = 1;
  std::uint64_t seed = 0;
  std::string out;
  std::string judge;
  std::string device = "cpu";
  SamplingOptions sampling;
  rl::ScoringOptions scoring;
  rl::GuidanceOptions classifier;
  rl::ParticleOptions particles;
  rl::KeywordGuidanceOptions keywords;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("generator", self.generator, "pipeline folder (required)");
    visit("reward", self.reward, "model folder of the reward that leads (required)");
    visit("prompt", self.prompt, "what every picture is to show");
    visit("prompts", self.prompts, "file of prompts, in place of --prompt");
    visit("method", self.method,
          "classifier: by the reward's gradient; particles: Feynman-Kac resampling; best-of-n: "
          "choosing at the end; keywords: a second sample that insists on missed words");
    visit("scale", self.scale,
          "classifier: length of a push in units of noise; particles: lambda; keywords: extra "
          "weight of missed words; 0 is plain sampling; >= 0");
    visit("n", self.n, "particles, best-of-n: pictures per prompt to choose from; > 0");
    visit("count", self.count, "pictures for each prompt; > 0");
    visit("seed", self.seed, "picture i depends on the seed, i and the options alone; >= 0");
    visit("out", self.out, "folder to write to (required)");
    visit("judge", self.judge,
          "who compares with plain sampling: inspector, or a model folder; none without it");
    visit("device", self.device, "cpu, cuda or cuda:N");
    SamplingOptions::fields(self.sampling, visit);
    visit("scoring", self.scoring, "");
    visit("classifier", self.classifier, "");
    visit("particles", self.particles, "");
    visit("keywords", self.keywords, "");
  }
  // --scale and --n are what the chosen method makes of them.
  void apply() {
    classifier.scale = scale;
    particles.lambda = scale;
    particles.particles = n;
    keywords.keywords.strength = scale;
  }
  void validate() const {
    require_option("generator", generator);
    require_option("reward", reward);
    require_option("out", out);
    if (n <= 0) throw UsageError("--n must be > 0");
    if (!(scale >= 0)) throw UsageError("--scale must be >= 0");
    sampling.validate();
    scoring.validate();
    classifier.validate();
    particles.validate();
    keywords.validate();
  }
};

// One batch by the chosen method: [B, 3, H, W].
torch::Tensor guided(const GuideVerbOptions& options, Generator& generator, Reward& reward,
                     const rl::Scorer& scorer, const Prompts& prompts, const Draws& draws) {
  auto sampling = options.sampling.sample_options();
  switch (options.method) {
    case Method::kClassifier:
      sampling.steering = rl::guidance(scorer, prompts, options.classifier);
      return generator.sample(prompts, sampling, draws).images;
    case Method::kParticles:
      return rl::sample_particles(generator, scorer, prompts, sampling, options.particles, draws)
          .images;
    case Method::kBestOfN:
      return rl::best_of_n(generator, scorer, prompts, sampling, options.n, draws).images;
    case Method::kKeywords:
      return rl::keyword_guidance(generator, reward, prompts, sampling, options.keywords, draws)
          .images;
  }
  TORCH_INTERNAL_ASSERT(false);
}

}  // namespace

int run_guide(const std::vector<std::string>& arguments) {
  GuideVerbOptions options;
  CommonOptions common;
  CommandLine::Parsed parsed;
  const CommandLine command{
      .usage =
          "rahf guide --generator DIR --reward DIR --prompts FILE --method M --scale X --out DIR",
      .summary =
          "Samples with a reward at the wheel: DIR/00000.png, ..., DIR/grid.png, DIR/prompts.csv.\n"
          "With --judge also samples plainly from the same draws (DIR/plain.png) and prints the\n"
          "side-by-side table.",
      .options = verb_fields(options, common),
      .positional = ""};
  const auto validate = [&] {
    options.apply();
    options.validate();
  };
  if (parse_verb(command, arguments, common, parsed, validate)) return 0;

  const auto prompts = prompts_option(options.prompt, options.prompts, options.count);
  const auto device = device_option(options.device);
  const auto generator = generators::load_generator(options.generator, device);
  const auto reward = reward::load_reward(options.reward, device);
  const rl::Scorer scorer(*reward, options.scoring);
  const fs::path folder = options.out;
  fs::create_directories(folder);

  const auto count = std::ssize(prompts);
  Progress progress("pictures", count);
  std::string table = io::csv_line({"file", "prompt"});
  std::vector<torch::Tensor> all;
  for (std::int64_t first = 0; first < count; first += options.sampling.batch_size) {
    const auto last = std::min(count, first + options.sampling.batch_size);
    const Prompts some(prompts.begin() + first, prompts.begin() + last);
    all.push_back(guided(options, *generator, *reward, scorer, some,
                         {.random = Randomness(options.seed), .first = first})
                      .to(torch::kCPU, torch::kFloat));
    for (std::int64_t i = first; i < last; ++i) {
      const auto name = picture_file_name(i);
      io::write_image(folder / name, to_image(all.back()[i - first]));
      table += io::csv_line({name, prompts[static_cast<std::size_t>(i)].text});
    }
    progress.add(last - first);
  }
  progress.finish();
  constexpr std::int64_t kColumns = 12;
  const auto images = torch::cat(all);
  io::write_image(folder / "grid.png", draw::picture_grid(images, kColumns));
  io::write_atomically(folder / "prompts.csv", table);

  nlohmann::ordered_json result = {{"out", options.out}, {"pictures", count}};
  std::string text = std::to_string(count) + " pictures in " + options.out + '\n';
  if (!options.judge.empty()) {
    const auto judge = load_judge(options.judge, device);
    const auto plain = sample_pictures(*generator, prompts, options.sampling, options.seed);
    io::write_image(folder / "plain.png", draw::picture_grid(plain, kColumns));
    const auto rows = side_by_side(judge->scores(plain, prompts), judge->scores(images, prompts),
                                   judge->score_names(), prompts);
    result["judge"] = options.judge;
    result["scores"] = side_by_side_json(rows);
    text += side_by_side_text(rows);
  }
  std::cout << (common.json ? result.dump(2) + '\n' : text);
  return 0;
}

}  // namespace rahf::program
