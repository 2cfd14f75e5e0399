#include "rahf/rl/loop/scorer.h"

#include <ATen/core/grad_mode.h>
#include <torch/types.h>

#include <algorithm>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::rl {
namespace {

Prompts part_of(const Prompts& prompts, std::int64_t first, std::int64_t count) {
  return {prompts.begin() + first, prompts.begin() + first + count};
}

torch::Tensor joined(const std::vector<Scored>& parts, torch::Tensor Judgement::*member) {
  std::vector<torch::Tensor> tensors;
  for (const auto& part : parts) {
    if (!(part.judgement.*member).defined()) return {};
    tensors.push_back(part.judgement.*member);
  }
  return torch::cat(tensors);
}

}  // namespace

void ScoringOptions::validate() const {
  if (terms.empty() || terms.size() != weights.size()) {
    throw ConfigError("ScoringOptions.weights must have one number per term, got " +
                      std::to_string(weights.size()) + " for " + std::to_string(terms.size()));
  }
  if (batch_size <= 0) {
    throw ConfigError("ScoringOptions.batch_size = " + std::to_string(batch_size) +
                      ", must be > 0");
  }
}

Scorer::Scorer(Reward& reward, ScoringOptions options)
    : reward_(reward), options_(std::move(options)) {
  options_.validate();
  const auto names = reward.score_names();
  for (const auto& term : options_.terms) {
    const auto found = std::find(names.begin(), names.end(), term);
    if (found != names.end()) {
      columns_.push_back(found - names.begin());
    } else if (term == kMapNames[0] || term == kMapNames[1]) {
      columns_.push_back(term == kMapNames[0] ? -1 : -2);
      heat_terms_ = true;
    } else {
      std::string all;
      for (const auto& name : names) all += (all.empty() ? "" : ", ") + name;
      throw ConfigError("Scorer: terms must be of the reward's scores (" + all +
                        ") or heatmaps, got '" + term + "'");
    }
  }
}

Scored Scorer::judge(const torch::Tensor& images, const Prompts& prompts, bool maps) const {
  const auto batch = static_cast<std::int64_t>(prompts.size());
  Scored scored{.judgement =
                    reward_.judge(images, prompts,
                                  {.scores = true, .maps = maps || heat_terms_, .words = false})};
  const auto names = reward_.score_names();
  Shapes("reward").check("scores", scored.judgement.scores,
                         {batch, static_cast<std::int64_t>(names.size())});
  std::vector<torch::Tensor> terms;
  for (std::size_t r = 0; r < columns_.size(); ++r) {
    if (columns_[r] >= 0) {
      terms.push_back(scored.judgement.scores.select(1, columns_[r]));
      continue;
    }
    const auto& heat =
        columns_[r] == -1 ? scored.judgement.implausibility : scored.judgement.misalignment;
    if (!heat.defined()) {
      throw ConfigError("reward: gives no heatmap of " + options_.terms[r]);
    }
    Shapes("reward").check(options_.terms[r], heat, {batch, "H", "W"});
    terms.push_back(1 - heat.mean({1, 2}));
  }
  scored.terms = torch::stack(terms, 1).to(torch::kFloat);
  const auto finite = torch::isfinite(scored.terms);
  if (!finite.all().item<bool>()) {
    const auto place = torch::nonzero(finite.logical_not())[0].to(torch::kCPU);
    const auto row = place[0].item<std::int64_t>(), column = place[1].item<std::int64_t>();
    throw NonFiniteError("reward: " + options_.terms[static_cast<std::size_t>(column)] +
                         " must be finite, got " +
                         std::to_string(scored.terms[row][column].item<double>()) +
                         " for prompt '" + prompts[static_cast<std::size_t>(row)].text + "'");
  }
  scored.total = torch::zeros({batch}, scored.terms.options());
  for (std::size_t r = 0; r < columns_.size(); ++r) {
    scored.total =
        scored.total + options_.weights[r] * scored.terms.select(1, static_cast<std::int64_t>(r));
  }
  return scored;
}

Scored Scorer::score(const torch::Tensor& images, const Prompts& prompts, bool maps) const {
  const torch::NoGradGuard no_grad;
  const auto batch = static_cast<std::int64_t>(prompts.size());
  std::vector<Scored> parts;
  for (std::int64_t first = 0; first < batch; first += options_.batch_size) {
    const auto count = std::min(options_.batch_size, batch - first);
    parts.push_back(
        judge(images.slice(0, first, first + count), part_of(prompts, first, count), maps));
  }
  if (parts.size() == 1) return parts.front();
  Scored all;
  std::vector<torch::Tensor> terms, totals;
  for (const auto& part : parts) {
    terms.push_back(part.terms);
    totals.push_back(part.total);
  }
  all.terms = torch::cat(terms);
  all.total = torch::cat(totals);
  all.judgement.scores = joined(parts, &Judgement::scores);
  all.judgement.implausibility = joined(parts, &Judgement::implausibility);
  all.judgement.misalignment = joined(parts, &Judgement::misalignment);
  return all;
}

Scored Scorer::score_through(const torch::Tensor& images, const Prompts& prompts, bool maps) const {
  if (!reward_.differentiable()) {
    throw ConfigError("reward: a direct gradient needs a differentiable reward, and this is none");
  }
  return judge(images, prompts, maps);
}

}  // namespace rahf::rl
