#include "rahf/rl/objectives/policy_gradient.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "rahf/core/error.h"

namespace rahf::rl {
void PolicyGradientOptions::validate() const {
  const auto check = [](const char* name, double number, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("PolicyGradientOptions.") + name + " = " +
                      option_text::write(number) + ", must be " + range);
  };
  rollout.validate();
  advantage.validate();
  loss.validate();
  value.validate();
  map.validate();
  check("updates", static_cast<double>(updates), updates > 0, "> 0");
  check("epochs", static_cast<double>(epochs), epochs > 0, "> 0");
  check("window_rounds", static_cast<double>(window_rounds), window_rounds > 0, "> 0");
  check("micro_batch", static_cast<double>(micro_batch), micro_batch > 0, "> 0");
  check("train_steps", static_cast<double>(train_steps),
        train_steps >= 0 && train_steps <= rollout.steps, "in [0, rollout.steps]");
}

PolicyGradient::PolicyGradient(PolicyGradientOptions options, Stage stage)
    : Objective(std::move(stage)), options_(std::move(options)), value_(options_.value) {
  options_.validate();
  const bool discrete = generator().traits().discrete;
  if (!discrete && !(options_.rollout.stochasticity > 0)) {
    throw ConfigError(
        "policy gradient: rollout.stochasticity must be > 0, got 0: a deterministic sampler has no "
        "probabilities to shift");
  }
  seen_.resize(options_.normalise_terms ? Objective::stage().scorer.options().terms.size() : 1);
}

torch::Tensor PolicyGradient::choose_steps(std::int64_t round) const {
  const auto count = static_cast<std::int64_t>(round_.rollout.prompts.size());
  const auto all = options_.rollout.steps;
  const auto chosen = options_.train_steps > 0 ? options_.train_steps : all;
  if (options_.step_choice == StepChoice::kWindow) {
    const auto first = round / options_.window_rounds % (all - chosen + 1);
    return torch::arange(first, first + chosen).unsqueeze(0).repeat({count, 1});
  }
  auto steps = torch::empty({count, chosen}, torch::kLong);
  const Randomness own(stage().random.key("steps", round));
  for (std::int64_t i = 0; i < count; ++i) {
    steps[i].copy_(shuffled(all, own, "steps", i).slice(0, 0, chosen));
  }
  return steps;
}

Measures PolicyGradient::begin_round(std::int64_t round) {
  index_ = round;
  const bool maps = options_.map.strength > 0;
  round_ = make_round(generator(), stage().scorer, stage().prompts, options_.rollout, round,
                      stage().random, Policy::kTrained, /*keep_trajectory=*/true, maps);
  count_pictures(round_.rollout.images);
  const auto& scored = round_.scored;
  const auto& scoring = stage().scorer.options();
  const auto found = options_.normalise_terms
                         ? advantages(scored.terms, scoring.weights, round_.rollout.prompts,
                                      options_.advantage, seen_)
                         : advantages(scored.total.unsqueeze(1), {1}, round_.rollout.prompts,
                                      options_.advantage, seen_);
  const auto order = shuffled(found.rows.numel(), stage().random, "pictures", round);
  rows_ = found.rows.index_select(0, order);
  steps_ = choose_steps(round);
  advantages_ = found.values.unsqueeze(1).repeat({1, steps_.size(1)});  // [N, S]
  if (options_.value.on) {
    advantages_ = advantages_ - value_.predict(round_.rollout, steps_);
    value_.fit(round_.rollout, found.values);
  }
  weights_.reset();
  if (maps) {
    weights_ = weighting::weighting_map(weighting::heat(scored.judgement, options_.map.source),
                                        found.values.to(scored.total.device()),
                                        generator().traits().grid, options_.map);
  }
  old_log_prob_ = round_.rollout.log_prob;
  if (options_.train_guidance >= 0 && options_.train_guidance != options_.rollout.guidance_scale) {
    const torch::NoGradGuard no_grad;
    const auto count = static_cast<std::int64_t>(round_.rollout.prompts.size());
    std::vector<torch::Tensor> parts;
    for (std::int64_t first = 0; first < count; first += options_.micro_batch) {
      const auto rows = torch::arange(first, std::min(first + options_.micro_batch, count));
      const auto steps =
          torch::arange(options_.rollout.steps).unsqueeze(0).repeat({rows.numel(), 1});
      parts.push_back(generator()
                          .step_terms(select(round_.rollout, rows), steps,
                                      {.guidance_scale = options_.train_guidance})
                          .log_prob);
    }
    old_log_prob_ = torch::cat(parts);
  }
  if (options_.step_weights == StepWeights::kSlope && !step_weights_.defined()) measure_slopes();

  auto measures = reward_measures(scored, scoring);
  measures.emplace_back("group/std", torch::tensor(found.group_std));
  measures.emplace_back("group/equal_share", torch::tensor(found.equal_share));
  return measures;
}

// The norm of a step's gradient, over pictures with random signs: as under advantages, whose mean
// is zero.
void PolicyGradient::measure_slopes() {
  std::vector<torch::Tensor> values;
  for (const auto& one : generator().trainable()) values.push_back(one.value);
  const auto count =
      std::min(static_cast<std::int64_t>(round_.rollout.prompts.size()), 4 * options_.micro_batch);
  const auto part = select(round_.rollout, torch::arange(count));
  const auto signs = (Draws{.random = stage().random}.uniform("signs", 0, {count}) < 0.5)
                         .to(torch::kFloat)
                         .mul(2)
                         .sub(1)
                         .to(generator().device());
  auto slopes = torch::empty({options_.rollout.steps}, torch::kDouble);
  for (std::int64_t t = 0; t < options_.rollout.steps; ++t) {
    const auto steps = torch::full({count, 1}, t, torch::kLong);
    const auto terms =
        generator().step_terms(part, steps, {.guidance_scale = options_.train_guidance});
    const auto sum = (terms.log_prob.mean({1, 2, 3}) * signs).sum();
    double square = 0;
    for (const auto& gradient :
         torch::autograd::grad({sum}, values, {}, {}, false, /*allow_unused=*/true)) {
      if (gradient.defined()) square += gradient.square().sum().item<double>();
    }
    slopes[t] = std::sqrt(square);
  }
  const auto inverse = 1 / slopes.clamp_min(1e-3 * slopes.max().item<double>() + 1e-30);
  step_weights_ = (inverse / inverse.mean()).to(torch::kFloat);
}

std::int64_t PolicyGradient::updates() const {
  return std::min(options_.updates, rows_.numel()) * options_.epochs;
}

std::pair<std::int64_t, std::int64_t> PolicyGradient::range(std::int64_t update,
                                                            std::int64_t piece) const {
  const auto parts = updates() / options_.epochs;
  const auto part = update % parts;
  const auto begin = part_begin(part, parts, rows_.numel());
  const auto end = part_begin(part + 1, parts, rows_.numel());
  const auto first = begin + piece * options_.micro_batch;
  return {first, std::min(first + options_.micro_batch, end)};
}

std::int64_t PolicyGradient::pieces(std::int64_t update) const {
  const auto parts = updates() / options_.epochs;
  const auto part = update % parts;
  const auto count =
      part_begin(part + 1, parts, rows_.numel()) - part_begin(part, parts, rows_.numel());
  return (count + options_.micro_batch - 1) / options_.micro_batch;
}

Piece PolicyGradient::piece(std::int64_t update, std::int64_t piece) {
  const auto [first, last] = range(update, piece);
  const auto parts = updates() / options_.epochs;
  const auto whole = part_begin(update % parts + 1, parts, rows_.numel()) -
                     part_begin(update % parts, parts, rows_.numel());
  const auto rows = rows_.slice(0, first, last);
  const auto steps = steps_.index_select(0, rows);  // [B, S]
  const auto device = generator().device();
  const auto asked =
      TermsAsked{.kl = options_.loss.kl_weight > 0, .guidance_scale = options_.train_guidance};
  const auto terms = generator().step_terms(select(round_.rollout, rows), steps, asked);
  const auto there = rows.to(device);
  const auto result =
      policy_loss({.log_prob = terms.log_prob,
                   .old_log_prob = at_steps(old_log_prob_.index_select(0, there), steps),
                   .kl = terms.kl,
                   .decided = terms.decided,
                   .advantages = advantages_.index_select(0, rows).to(device),
                   .weights = weights_.defined() ? weights_.index_select(0, there) : weights_},
                  options_.loss);
  auto loss = result.loss;
  if (step_weights_.defined()) {
    loss = loss * step_weights_.index({steps}).to(device);
  }
  Piece made{.loss = loss.sum() / static_cast<double>(whole * steps.size(1))};
  made.measures = {{"policy/ratio", result.ratio},
                   {"policy/clip_fraction", result.clip_fraction},
                   {"policy/approx_kl", result.approx_kl}};
  if (result.kl.defined()) made.measures.emplace_back("policy/kl", result.kl);
  return made;
}

io::TensorMap PolicyGradient::state() const {
  io::TensorMap all;
  for (std::size_t k = 0; k < seen_.size(); ++k) {
    for (auto& [prompt, rewards] : seen_[k].state()) {
      all.emplace("rewards" + std::to_string(k) + "/" + prompt, rewards);
    }
  }
  for (auto& [name, tensor] : value_.state()) all.emplace("value/" + name, tensor);
  if (step_weights_.defined()) all.emplace("step_weights", step_weights_);
  return all;
}

void PolicyGradient::load_state(const io::TensorMap& state) {
  for (std::size_t k = 0; k < seen_.size(); ++k) {
    seen_[k].load_state(with_prefix(state, "rewards" + std::to_string(k) + "/"));
  }
  value_.load_state(with_prefix(state, "value/"));
  const auto weights = state.find("step_weights");
  if (weights != state.end()) step_weights_ = weights->second;
}

}  // namespace rahf::rl
