#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "picture_judge.h"
#include "rahf/core/draw/picture_grid.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/io/prompt_file.h"
#include "rahf/generators/registry.h"
#include "sampling.h"
#include "side_by_side.h"
#include "verb.h"
#include "verbs.h"

namespace rahf::program {
namespace {

struct CompareVerbOptions {
  std::string before;
  std::string after;
  std::string judge = "inspector";
  std::string prompts;
  std::int64_t count = 1;
  std::uint64_t seed = 0;
  std::string out;
  std::string device = "cpu";
  SamplingOptions sampling;
  SideBySideOptions answers;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("before", self.before, "pipeline folder of one generator (required)");
    visit("after", self.after, "pipeline folder of the other (required)");
    visit("judge", self.judge,
          "who scores: inspector (captions of the closed world only), or a reward's model folder");
    visit("prompts", self.prompts,
          "file of prompts, one a line, or a .csv with a column 'prompt' (required)");
    visit("count", self.count, "pairs of pictures for each prompt; > 0");
    visit("seed", self.seed, "both pictures of a pair are drawn from the seed and its number");
    visit("out", self.out, "folder for before.png and after.png, all pictures; none without it");
    visit("device", self.device, "cpu, cuda or cuda:N");
    SamplingOptions::fields(self.sampling, visit);
    SideBySideOptions::fields(self.answers, visit);
  }
  void validate() const {
    require_option("before", before);
    require_option("after", after);
    require_option("judge", judge);
    require_option("prompts", prompts);
    sampling.validate();
    answers.validate();
  }
};

}  // namespace

int run_compare(const std::vector<std::string>& arguments) {
  CompareVerbOptions options;
  CommonOptions common;
  CommandLine::Parsed parsed;
  const CommandLine command{
      .usage =
          "rahf compare --before DIR --after DIR --judge inspector|DIR --prompts FILE --seed S",
      .summary =
          "Compares two generators side by side, as the paper does: both make pictures for the\n"
          "same prompts from the same draws, a judge scores them, and the table says how often\n"
          "the second is much better, better, about equal, worse or much worse.",
      .options = verb_fields(options, common),
      .positional = ""};
  if (parse_verb(command, arguments, common, parsed, [&] { options.validate(); })) return 0;

  const auto prompts = prompts_option("", options.prompts, options.count);
  const auto device = device_option(options.device);
  const auto judge = load_judge(options.judge, device);
  std::vector<torch::Tensor> scores;
  for (const auto& [name, folder] :
       {std::pair{"before", options.before}, std::pair{"after", options.after}}) {
    // One generator at a time in memory.
    const auto generator = generators::load_generator(folder, device);
    const auto images = sample_pictures(*generator, prompts, options.sampling, options.seed);
    scores.push_back(judge->scores(images, prompts));
    if (options.out.empty()) continue;
    constexpr std::int64_t kColumns = 12;
    std::filesystem::create_directories(options.out);
    io::write_image(std::filesystem::path(options.out) / (std::string(name) + ".png"),
                    draw::picture_grid(images, kColumns));
  }
  const auto table =
      side_by_side(scores[0], scores[1], judge->score_names(), prompts, options.answers);
  if (common.json) {
    const nlohmann::ordered_json result = {{"before", options.before},
                                           {"after", options.after},
                                           {"judge", options.judge},
                                           {"pairs", prompts.size()},
                                           {"scores", side_by_side_json(table)}};
    std::cout << result.dump(2) << '\n';
  } else {
    std::cout << side_by_side_text(table);
  }
  return 0;
}

}  // namespace rahf::program
