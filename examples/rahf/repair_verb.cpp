#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "picture_judge.h"
#include "picture_requests.h"
#include "rahf/core/draw/picture_grid.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/progress.h"
#include "rahf/generators/registry.h"
#include "rahf/reward/model/registry.h"
#include "rahf/rl/steering/repair.h"
#include "sampling.h"
#include "side_by_side.h"
#include "verb.h"
#include "verbs.h"

namespace rahf::program {
namespace {

namespace fs = std::filesystem;

struct RepairVerbOptions {
  std::string generator;
  std::string reward;
  std::string prompt;
  std::string prompts;
  std::uint64_t seed = 0;
  std::string out;
  std::string judge;
  bool random_masks = false;
  std::string device = "cpu";
  SamplingOptions sampling;
  rl::RepairOptions repair;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("generator", self.generator, "pipeline folder that paints (required)");
    visit("reward", self.reward,
          "model folder whose heatmap marks and whose score chooses "
          "(required)");
    visit("prompt", self.prompt, "what every picture is to show");
    visit("prompts", self.prompts, "CSV file with columns 'file' and 'prompt'");
    visit("seed", self.seed, "of every random draw");
    visit("out", self.out, "folder to write to (required)");
    visit("judge", self.judge, "who compares before with after: inspector, or a model folder");
    visit("random_masks", self.random_masks,
          "a control: one round with each mask at a random place of the picture");
    visit("device", self.device, "cpu, cuda or cuda:N");
    SamplingOptions::fields(self.sampling, visit);
    rl::RepairOptions::fields(self.repair, visit);
  }
  void validate() const {
    require_option("generator", generator);
    require_option("reward", reward);
    require_option("out", out);
    sampling.validate();
    repair.validate();
  }
};

// Each mask shifted around the picture by a random distance: the same area elsewhere.
torch::Tensor shifted(const torch::Tensor& masks, const Randomness& random) {
  auto moved = masks.clone();
  for (std::int64_t b = 0; b < masks.size(0); ++b) {
    auto engine = random.engine("random mask", b);
    moved[b] = masks[b].roll(
        {uniform_int(engine, masks.size(1)), uniform_int(engine, masks.size(2))}, {0, 1});
  }
  return moved;
}

}  // namespace

int run_repair(const std::vector<std::string>& arguments) {
  RepairVerbOptions options;
  CommonOptions common;
  CommandLine::Parsed parsed;
  const CommandLine command{
      .usage = "rahf repair --generator DIR --reward DIR PICTURE... --prompts FILE.csv --out DIR",
      .summary =
          "Paints again what the reward's heatmap marks, several times, and keeps the most\n"
          "plausible: DIR/NAME, DIR/NAME.mask.png, and before, masks and after in DIR/repairs.png.",
      .options = verb_fields(options, common),
      .positional = "PICTURE"};
  if (parse_verb(command, arguments, common, parsed, [&] { options.validate(); })) return 0;

  const auto requests =
      collect_requests(options.prompt.empty() ? std::nullopt : std::optional(options.prompt),
                       options.prompts, parsed.arguments);
  const auto device = device_option(options.device);
  const auto generator = generators::load_generator(options.generator, device);
  const auto reward = reward::load_reward(options.reward, device);
  const auto traits = generator->traits();
  Prompts prompts;
  std::vector<torch::Tensor> pictures;
  for (const auto& request : requests) {
    const auto image = io::read_image(request.picture);
    if (image.height != traits.image_height || image.width != traits.image_width) {
      throw FileError(request.picture.string() + ": the generator paints pictures of " +
                      std::to_string(traits.image_height) + " x " +
                      std::to_string(traits.image_width) + " pixels, this one has " +
                      std::to_string(image.height) + " x " + std::to_string(image.width));
    }
    pictures.push_back(to_tensor(image));
    prompts.push_back({request.prompt, {}});
  }
  const auto images = torch::stack(pictures);
  fs::create_directories(options.out);

  // A picture at a time: each is drawn from its own number.
  const Randomness random(options.seed);
  std::vector<rl::Repair> repairs;
  Progress progress("pictures", images.size(0));
  for (std::int64_t b = 0; b < images.size(0); ++b) {
    const auto one = images.slice(0, b, b + 1).to(device);
    const Prompts own = {prompts[static_cast<std::size_t>(b)]};
    torch::Tensor masks;
    if (options.random_masks) {
      const torch::NoGradGuard no_grad;
      const auto judgement = reward->judge(one, own);
      masks = shifted(weighting::repair_mask(weighting::heat(judgement, options.repair.source),
                                             options.repair.mask),
                      Randomness(random.key("picture", b)));
    }
    repairs.push_back(rl::repair(*generator, *reward, one, own, options.sampling.sample_options(),
                                 options.repair, {.random = random, .first = b}, masks));
    progress.add();
  }
  progress.finish();

  std::vector<torch::Tensor> after, shown;
  nlohmann::ordered_json rows = nlohmann::json::array();
  std::int64_t marked = 0, changed = 0;
  for (std::size_t b = 0; b < repairs.size(); ++b) {
    const auto& one = repairs[b];
    after.push_back(one.images.to(torch::kCPU));
    const auto mask = one.mask.to(torch::kCPU, torch::kFloat);
    const auto name = requests[b].picture.filename();
    io::write_image(fs::path(options.out) / name.stem().concat(".png"), to_image(after.back()[0]));
    io::write_image(fs::path(options.out) / name.stem().concat(".mask.png"), to_image(mask));
    const auto rounds = one.rounds.item<std::int64_t>();
    marked += one.marked.item<bool>() ? 1 : 0;
    changed += rounds > 0 ? 1 : 0;
    rows.push_back({{"file", requests[b].picture.string()},
                    {"marked", one.marked.item<bool>()},
                    {"rounds", rounds},
                    {"before", one.before.item<float>()},
                    {"after", one.after.item<float>()},
                    {"share_repainted", mask.mean().item<float>()}});
    if (rounds > 0) {
      for (const auto& picture :
           {images.slice(0, static_cast<std::int64_t>(b), static_cast<std::int64_t>(b) + 1),
            mask.unsqueeze(1).expand({-1, 3, -1, -1}), after.back()}) {
        shown.push_back(picture);
      }
    }
  }
  if (!shown.empty()) {
    io::write_image(fs::path(options.out) / "repairs.png",
                    draw::picture_grid(torch::cat(shown), 12));
  }

  const auto total = static_cast<double>(repairs.size());
  nlohmann::ordered_json result = {{"pictures", repairs.size()},
                                   {"marked_share", static_cast<double>(marked) / total},
                                   {"repaired_share", static_cast<double>(changed) / total},
                                   {"repairs", rows}};
  std::string text = std::to_string(marked) + " of " + std::to_string(repairs.size()) +
                     " pictures marked, " + std::to_string(changed) + " repaired, in " +
                     options.out + '\n';
  if (!options.judge.empty()) {
    const auto judge = load_judge(options.judge, device);
    const auto table =
        side_by_side(judge->scores(images, prompts), judge->scores(torch::cat(after), prompts),
                     judge->score_names(), prompts);
    result["scores"] = side_by_side_json(table);
    text += side_by_side_text(table);
  }
  std::cout << (common.json ? result.dump(2) + '\n' : text);
  return 0;
}

}  // namespace rahf::program
