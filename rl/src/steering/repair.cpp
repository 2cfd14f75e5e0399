#include "rahf/rl/steering/repair.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <vector>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::rl {
namespace {

class Repairer {
 public:
  Repairer(Generator& generator, Reward& reward, const SampleOptions& sampling,
           const RepairOptions& options, const Draws& draws)
      : generator_(generator),
        reward_(reward),
        sampling_(sampling),
        options_(options),
        draws_(draws) {
    options_.validate();
    if (!generator.traits().inpaint) {
      throw ConfigError("repair: this generator cannot inpaint (traits().inpaint)");
    }
    const auto names = reward.score_names();
    const auto found = std::find(names.begin(), names.end(), options_.score);
    if (found == names.end()) {
      throw ConfigError("repair: the reward has no score '" + options_.score + "'");
    }
    column_ = found - names.begin();
  }

  Judgement judge(const torch::Tensor& images, const Prompts& prompts) const {
    auto judgement = reward_.judge(images.to(reward_.device()), prompts,
                                   {.scores = true, .maps = true, .words = false});
    std::vector<std::string> names;
    for (const auto& prompt : prompts) names.push_back('"' + prompt.text + '"');
    check_judgement("repair", judgement, names, reward_.score_names());
    return judgement;
  }

  torch::Tensor score(const Judgement& judgement) const {
    return judgement.scores.select(1, column_).to(torch::kCPU);
  }

  torch::Tensor mask(const Judgement& judgement) const {
    return weighting::repair_mask(weighting::heat(judgement, options_.source), options_.mask);
  }

  // The candidates of one picture in one round: [candidates, 3, H, W].
  torch::Tensor candidates(const torch::Tensor& image, const torch::Tensor& marks,
                           const Prompt& prompt, std::int64_t number, std::int64_t round) const {
    const auto n = options_.candidates;
    const Draws own{.random = Randomness(draws_.random.key("repair", round)),
                    .first = (draws_.first + number) * n};
    const auto many = image.unsqueeze(0).expand({n, -1, -1, -1}).contiguous();
    const auto masks = marks.unsqueeze(0).expand({n, -1, -1}).contiguous();
    const Prompts prompts(static_cast<std::size_t>(n), prompt);
    const auto painted = generator_.inpaint(many, masks, prompts, sampling_, own);
    return options_.keep_outside ? torch::where(masks.unsqueeze(1), painted, many) : painted;
  }

  const RepairOptions& options() const { return options_; }

 private:
  Generator& generator_;
  Reward& reward_;
  const SampleOptions& sampling_;
  RepairOptions options_;
  Draws draws_;
  std::int64_t column_ = 0;
};

}  // namespace

void RepairOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("RepairOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  mask.validate();
  check("candidates", static_cast<double>(candidates), candidates > 0, "> 0");
  check("rounds", static_cast<double>(rounds), rounds > 0, "> 0");
  check("gain", gain, gain >= 0, ">= 0");
}

Repair repair(Generator& generator, Reward& reward, const torch::Tensor& images,
              const Prompts& prompts, const SampleOptions& sampling, const RepairOptions& options,
              const Draws& draws, const torch::Tensor& masks) {
  const torch::NoGradGuard no_grad;
  check_pictures("repair", images, prompts, generator.device());
  const Repairer repairer(generator, reward, sampling, options, draws);
  if (masks.defined()) {
    Shapes("repair").check("masks", masks, {images.size(0), images.size(2), images.size(3)},
                           torch::kBool);
  }
  Repair result;
  result.images = images.clone();
  auto judgement = repairer.judge(images, prompts);
  result.before = repairer.score(judgement).clone();
  result.after = result.before.clone();
  auto marks = (masks.defined() ? masks : repairer.mask(judgement)).to(images.device());
  result.mask = torch::zeros_like(marks);
  result.rounds = torch::zeros({images.size(0)}, torch::kLong);
  result.marked = marks.flatten(1).any(1).to(torch::kCPU);

  for (std::int64_t b = 0; b < images.size(0); ++b) {
    const auto& prompt = prompts[static_cast<std::size_t>(b)];
    auto own_marks = marks[b];
    const auto most = masks.defined() ? 1 : options.rounds;
    for (std::int64_t round = 0; round < most && own_marks.any().item<bool>(); ++round) {
      const auto candidates = repairer.candidates(result.images[b], own_marks, prompt, b, round);
      const Prompts same(static_cast<std::size_t>(options.candidates), prompt);
      const auto judged = repairer.judge(candidates, same);
      const auto scores = repairer.score(judged);
      const auto best = scores.argmax().item<std::int64_t>();
      const auto value = scores[best].item<float>();
      if (value < result.after[b].item<float>() + options.gain) break;
      result.images[b].copy_(candidates[best]);
      result.after[b].fill_(value);
      result.mask[b].logical_or_(own_marks);
      result.rounds[b] += 1;
      own_marks = repairer.mask(judged)[best].to(images.device());
    }
  }
  return result;
}

}  // namespace rahf::rl
