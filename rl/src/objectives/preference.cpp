#include "rahf/rl/objectives/preference.h"

#include <torch/types.h>

#include <algorithm>
#include <map>
#include <string>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::rl {
namespace {

void check(const char* where, const char* name, double value, bool ok, const char* range) {
  if (ok) return;
  throw ConfigError(std::string(where) + "." + name + " = " + option_text::write(value) +
                    ", must be " + range);
}

}  // namespace

Pairs best_and_worst(const torch::Tensor& rewards, const Prompts& prompts) {
  Shapes("best_and_worst").check("rewards", rewards, {static_cast<std::int64_t>(prompts.size())});
  const auto host = rewards.detach().to(torch::kCPU, torch::kDouble).contiguous();
  const auto* r = host.data_ptr<double>();
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> ends;  // best, worst
  std::vector<std::string> order;
  for (std::int64_t i = 0; i < host.numel(); ++i) {
    const auto& text = prompts[static_cast<std::size_t>(i)].text;
    const auto [found, is_new] = ends.try_emplace(text, i, i);
    if (is_new) order.push_back(text);
    auto& [best, worst] = found->second;
    if (r[i] > r[best]) best = i;
    if (r[i] < r[worst]) worst = i;
  }
  std::vector<std::int64_t> better, worse;
  for (const auto& text : order) {
    const auto [best, worst] = ends.at(text);
    if (r[best] == r[worst]) continue;
    better.push_back(best);
    worse.push_back(worst);
  }
  return {.better = torch::tensor(better, torch::kLong),
          .worse = torch::tensor(worse, torch::kLong)};
}

torch::Tensor d3po_loss(const torch::Tensor& better, const torch::Tensor& worse, double beta,
                        double clamp) {
  const auto held = [&](const torch::Tensor& log_ratio) {
    return log_ratio.exp().clamp(1 - clamp, 1 + clamp).log();
  };
  return -torch::log_sigmoid(beta * (held(better) - held(worse)));
}

torch::Tensor diffusion_dpo_loss(const torch::Tensor& better, const torch::Tensor& worse,
                                 const torch::Tensor& reference_better,
                                 const torch::Tensor& reference_worse, double beta) {
  const auto own = better - worse, reference = reference_better - reference_worse;
  return -torch::log_sigmoid(-beta / 2 * (own - reference));
}

void D3poOptions::validate() const {
  rollout.validate();
  map.validate();
  const auto where = "D3poOptions";
  check(where, "updates", static_cast<double>(updates), updates > 0, "> 0");
  check(where, "train_steps", static_cast<double>(train_steps),
        train_steps >= 0 && train_steps <= rollout.steps, "in [0, rollout.steps]");
  check(where, "micro_batch", static_cast<double>(micro_batch), micro_batch > 0, "> 0");
  check(where, "beta", beta, beta > 0, "> 0");
  check(where, "ratio_clamp", ratio_clamp, ratio_clamp > 0 && ratio_clamp < 1, "in (0, 1)");
  check(where, "rollout.pictures", static_cast<double>(rollout.pictures), rollout.pictures > 1,
        "> 1");
}

void DiffusionDpoOptions::validate() const {
  rollout.validate();
  levels.validate();
  map.validate();
  const auto where = "DiffusionDpoOptions";
  check(where, "updates", static_cast<double>(updates), updates > 0, "> 0");
  check(where, "micro_batch", static_cast<double>(micro_batch), micro_batch > 0, "> 0");
  check(where, "beta", beta, beta > 0, "> 0");
  check(where, "rollout.pictures", static_cast<double>(rollout.pictures), rollout.pictures > 1,
        "> 1");
}

Measures PairObjective::pair_round(std::int64_t round, const RolloutOptions& rollout, Policy policy,
                                   bool keep_trajectory, const weighting::WeightingMapOptions& map,
                                   Split split) {
  index_ = round;
  split_ = split;
  const bool maps = map.strength > 0;
  round_ = make_round(generator(), stage().scorer, stage().prompts, rollout, round, stage().random,
                      policy, keep_trajectory, maps);
  count_pictures(round_.rollout.images);
  const auto found = best_and_worst(round_.scored.total, round_.rollout.prompts);
  const auto order = shuffled(found.better.numel(), stage().random, "pairs", round);
  pairs_ = {.better = found.better.index_select(0, order),
            .worse = found.worse.index_select(0, order)};
  weights_.reset();
  if (maps) {
    auto sign = torch::ones({round_.scored.total.size(0)});
    sign.index_fill_(0, pairs_.worse, -1);
    weights_ = weighting::weighting_map(weighting::heat(round_.scored.judgement, map.source), sign,
                                        generator().traits().grid, map);
  }
  auto measures = reward_measures(round_.scored, stage().scorer.options());
  measures.emplace_back("pairs", torch::tensor(static_cast<double>(pairs_.better.numel())));
  return measures;
}

std::int64_t PairObjective::updates() const {
  return std::min(split_.updates, pairs_.better.numel());
}

std::int64_t PairObjective::pieces(std::int64_t update) const {
  const auto all = pairs_.better.numel();
  const auto count = part_begin(update + 1, updates(), all) - part_begin(update, updates(), all);
  return (count + split_.micro_batch - 1) / split_.micro_batch;
}

PairObjective::Part PairObjective::part(std::int64_t update, std::int64_t piece) const {
  const auto all = pairs_.better.numel();
  const auto begin = part_begin(update, updates(), all);
  const auto end = part_begin(update + 1, updates(), all);
  const auto first = begin + piece * split_.micro_batch;
  const auto last = std::min(first + split_.micro_batch, end);
  return {.better = pairs_.better.slice(0, first, last),
          .worse = pairs_.worse.slice(0, first, last),
          .first = first,
          .whole = end - begin};
}

D3po::D3po(D3poOptions options, Stage stage)
    : PairObjective(std::move(stage)), options_(std::move(options)) {
  options_.validate();
  if (!generator().traits().discrete && !(options_.rollout.stochasticity > 0)) {
    throw ConfigError(
        "d3po: rollout.stochasticity must be > 0, got 0: a deterministic sampler has no "
        "probabilities to shift");
  }
  trainable_ = generator().trainable();
  for (const auto& one : trainable_) reference_.push_back(one.value.detach().clone());
}

Measures D3po::begin_round(std::int64_t round) {
  auto measures = pair_round(round, options_.rollout, Policy::kTrained, /*keep_trajectory=*/true,
                             options_.map, {options_.updates, options_.micro_batch});
  reference_log_prob_ = reference_log_prob();
  const auto all = options_.rollout.steps;
  const auto chosen = options_.train_steps > 0 ? options_.train_steps : all;
  const auto count = pairs_.better.numel();
  steps_ = torch::empty({count, chosen}, torch::kLong);
  const Randomness own(stage().random.key("steps", round));
  for (std::int64_t i = 0; i < count; ++i) {
    steps_[i].copy_(shuffled(all, own, "steps", i).slice(0, 0, chosen));
  }
  return measures;
}

// Of the pictures' own steps, under the weights that training found.
torch::Tensor D3po::reference_log_prob() {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> trained;
  for (std::size_t i = 0; i < trainable_.size(); ++i) {
    trained.push_back(trainable_[i].value.detach().clone());
    trainable_[i].value.copy_(reference_[i]);
  }
  const auto count = static_cast<std::int64_t>(round_.rollout.prompts.size());
  std::vector<torch::Tensor> parts;
  for (std::int64_t first = 0; first < count; first += options_.micro_batch) {
    const auto rows = torch::arange(first, std::min(first + options_.micro_batch, count));
    const auto steps = torch::arange(options_.rollout.steps).unsqueeze(0).repeat({rows.numel(), 1});
    parts.push_back(generator().step_terms(select(round_.rollout, rows), steps, {}).log_prob);
  }
  for (std::size_t i = 0; i < trainable_.size(); ++i) trainable_[i].value.copy_(trained[i]);
  return torch::cat(parts);
}

Piece D3po::piece(std::int64_t update, std::int64_t piece) {
  const auto own = part(update, piece);
  const auto steps = steps_.slice(0, own.first, own.first + own.better.numel());
  const auto log_ratio = [&](const torch::Tensor& rows) {
    const auto terms = generator().step_terms(select(round_.rollout, rows), steps, {});
    const auto there = rows.to(reference_log_prob_.device());
    auto difference = terms.log_prob - at_steps(reference_log_prob_.index_select(0, there), steps);
    if (weights_.defined()) {
      difference = difference * weights_.index_select(0, there).unsqueeze(1);
    }
    return difference.mean({2, 3});  // [m, S]
  };
  const auto better = log_ratio(own.better), worse = log_ratio(own.worse);
  const auto loss = d3po_loss(better, worse, options_.beta, options_.ratio_clamp);
  Piece made{.loss = loss.sum() / static_cast<double>(own.whole * steps.size(1))};
  made.measures = {{"pairs/loss", loss.detach().mean()},
                   {"pairs/told_apart", (better > worse).to(torch::kFloat).mean()}};
  return made;
}

DiffusionDpo::DiffusionDpo(DiffusionDpoOptions options, Stage stage)
    : PairObjective(std::move(stage)), options_(std::move(options)) {
  options_.validate();
}

Measures DiffusionDpo::begin_round(std::int64_t round) {
  return pair_round(
      round, options_.rollout, options_.offline ? Policy::kReference : Policy::kTrained,
      /*keep_trajectory=*/false, options_.map, {options_.updates, options_.micro_batch});
}

Piece DiffusionDpo::piece(std::int64_t update, std::int64_t piece) {
  const auto own = part(update, piece);
  const Draws draws{.random = Randomness(stage().random.key("levels", index_)), .first = own.first};
  const auto levels =
      noise_levels(options_.levels, own.better.numel(), draws, generator().device());
  struct Errors {
    torch::Tensor trained, reference;
  };
  const auto errors = [&](const torch::Tensor& rows) -> Errors {
    const auto pictures = select(round_.rollout, rows);
    const auto corrupted = generator().corrupt(pictures.latents, levels, draws);
    const auto weights =
        weights_.defined() ? weights_.index_select(0, rows.to(weights_.device())) : weights_;
    const auto ask = [&](Policy policy) {
      const auto prediction = generator().predict(corrupted, pictures.prompts, policy, 1);
      return error_per_picture(generator().error(prediction, corrupted), corrupted, weights);
    };
    return {.trained = ask(Policy::kTrained), .reference = ask(Policy::kReference)};
  };
  const auto better = errors(own.better), worse = errors(own.worse);
  const auto loss = diffusion_dpo_loss(better.trained, worse.trained, better.reference,
                                       worse.reference, options_.beta);
  Piece made{.loss = loss.sum() / static_cast<double>(own.whole)};
  const auto margin = (worse.trained - worse.reference) - (better.trained - better.reference);
  made.measures = {{"pairs/loss", loss.detach().mean()},
                   {"pairs/told_apart", (margin > 0).to(torch::kFloat).mean()}};
  return made;
}

}  // namespace rahf::rl
