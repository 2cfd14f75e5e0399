#include "rahf/rl/objectives/reward_weighted.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <string>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::rl {
namespace {

torch::Tensor rows_or_none(const torch::Tensor& tensor, const torch::Tensor& rows) {
  return tensor.defined() ? tensor.index_select(0, rows.to(tensor.device())) : tensor;
}

torch::Tensor appended(const torch::Tensor& old, const torch::Tensor& more, std::int64_t memory) {
  const auto all = old.defined() ? torch::cat({old, more}) : more;
  return all.slice(0, std::max<std::int64_t>(0, all.size(0) - memory)).clone();
}

}  // namespace

void ChoosingOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("ChoosingOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("inverse_temperature", inverse_temperature, inverse_temperature > 0, "> 0");
  check("keep", static_cast<double>(keep), keep > 0, "> 0");
  check("top_share", top_share, top_share > 0 && top_share <= 1, "in (0, 1]");
}

torch::Tensor example_weights(const torch::Tensor& rewards, const Prompts& prompts,
                              const ChoosingOptions& options) {
  options.validate();
  const auto count = static_cast<std::int64_t>(prompts.size());
  Shapes("example_weights").check("rewards", rewards, {count});
  const torch::NoGradGuard no_grad;
  const auto host = rewards.to(torch::kCPU, torch::kDouble).contiguous();
  const auto* r = host.data_ptr<double>();
  auto weights = torch::zeros({count}, torch::kFloat);
  auto* w = weights.data_ptr<float>();
  std::vector<std::int64_t> all(prompts.size());
  std::iota(all.begin(), all.end(), 0);

  // n softmax(inverse_temperature r) over the n members of a group.
  const auto softmax = [&](const std::vector<std::int64_t>& members) {
    double top = r[members.front()];
    for (const auto i : members) top = std::max(top, r[i]);
    double sum = 0;
    for (const auto i : members) sum += std::exp(options.inverse_temperature * (r[i] - top));
    for (const auto i : members) {
      w[i] = static_cast<float>(static_cast<double>(members.size()) *
                                std::exp(options.inverse_temperature * (r[i] - top)) / sum);
    }
  };
  // The best first; of equal ones the earlier.
  const auto best_first = [&](std::vector<std::int64_t> members) {
    std::stable_sort(members.begin(), members.end(), [&](auto a, auto b) { return r[a] > r[b]; });
    return members;
  };
  std::map<std::string, std::vector<std::int64_t>> groups;
  for (const auto i : all) groups[prompts[static_cast<std::size_t>(i)].text].push_back(i);

  switch (options.kind) {
    case Choosing::kSoftmax:
      if (count > 0) softmax(all);
      break;
    case Choosing::kPromptSoftmax:
      for (const auto& [prompt, members] : groups) softmax(members);
      break;
    case Choosing::kBest:
      for (const auto& [prompt, members] : groups) {
        const auto sorted = best_first(members);
        for (std::int64_t k = 0; k < std::ssize(sorted) && k < options.keep; ++k) {
          const auto i = sorted[static_cast<std::size_t>(k)];
          if (r[i] >= options.threshold) w[i] = 1;
        }
      }
      break;
    case Choosing::kTopShare: {
      const auto sorted = best_first(all);
      const auto kept =
          static_cast<std::size_t>(std::ceil(options.top_share * static_cast<double>(count)));
      for (std::size_t k = 0; k < kept; ++k) w[sorted[k]] = 1;
      break;
    }
  }
  return weights;
}

void RewardWeightedOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("RewardWeightedOptions.") + name + " = " +
                      option_text::write(value) + ", must be " + range);
  };
  rollout.validate();
  choosing.validate();
  levels.validate();
  map.validate();
  check("first_rounds", static_cast<double>(first_rounds), first_rounds > 0, "> 0");
  check("more_rounds", static_cast<double>(more_rounds), more_rounds >= 0, ">= 0");
  check("memory", static_cast<double>(memory), memory > 0, "> 0");
  check("updates", static_cast<double>(updates), updates > 0, "> 0");
  check("batch_size", static_cast<double>(batch_size), batch_size > 0, "> 0");
  check("micro_batch", static_cast<double>(micro_batch), micro_batch > 0, "> 0");
  check("prompt_dropout", prompt_dropout, prompt_dropout >= 0 && prompt_dropout < 1, "in [0, 1)");
}

RewardWeighted::RewardWeighted(RewardWeightedOptions options, Stage stage)
    : Objective(std::move(stage)), options_(std::move(options)) {
  options_.validate();
}

void RewardWeighted::remember() {
  const auto weights =
      example_weights(round_.scored.total, round_.rollout.prompts, options_.choosing);
  const auto rows = torch::nonzero(weights > 0).squeeze(1);
  if (rows.numel() == 0) return;
  std::map<std::string, std::int64_t> numbers;
  const auto& all = stage().prompts.all();
  for (std::size_t i = 0; i < all.size(); ++i) {
    numbers.emplace(all[i].text, static_cast<std::int64_t>(i));
  }
  std::vector<std::int64_t> prompts;
  for (std::int64_t k = 0; k < rows.numel(); ++k) {
    const auto row = static_cast<std::size_t>(rows.data_ptr<std::int64_t>()[k]);
    prompts.push_back(numbers.at(round_.rollout.prompts[row].text));
  }
  latents_ = appended(latents_, rows_or_none(round_.rollout.latents, rows), options_.memory);
  rows_ = appended(rows_, torch::tensor(prompts, torch::kLong), options_.memory);
  weights_ = appended(weights_, weights.index_select(0, rows), options_.memory);
  if (options_.map.strength > 0) {
    const auto heat = weighting::heat(round_.scored.judgement, options_.map.source);
    const auto map = weighting::weighting_map(heat, torch::ones({heat.size(0)}, heat.options()),
                                              generator().traits().grid, options_.map);
    maps_ = appended(maps_, rows_or_none(map, rows), options_.memory);
  }
}

Measures RewardWeighted::begin_round(std::int64_t round) {
  index_ = round;
  Measures measures;
  const auto rounds = sampled_ == 0 ? options_.first_rounds : options_.more_rounds;
  round_ = {};
  for (std::int64_t i = 0; i < rounds; ++i) {
    round_ = make_round(generator(), stage().scorer, stage().prompts, options_.rollout, sampled_++,
                        stage().random, options_.offline ? Policy::kReference : Policy::kTrained,
                        /*keep_trajectory=*/false, options_.map.strength > 0);
    count_pictures(round_.rollout.images);
    remember();
    measures = reward_measures(round_.scored, stage().scorer.options());
  }
  const auto total = kept() == 0 ? 0 : options_.updates * options_.batch_size;
  std::vector<torch::Tensor> passes = {torch::empty({0}, torch::kLong)};
  for (std::int64_t pass = 0; pass * kept() < total; ++pass) {
    passes.push_back(shuffled(kept(), Randomness(stage().random.key("pass", round)), "pass", pass));
  }
  order_ = torch::cat(passes).slice(0, 0, total);
  measures.emplace_back("kept", torch::tensor(static_cast<double>(kept())));
  if (kept() > 0) measures.emplace_back("kept/weight", weights_.mean());
  return measures;
}

std::int64_t RewardWeighted::pieces(std::int64_t) const {
  return (options_.batch_size + options_.micro_batch - 1) / options_.micro_batch;
}

Piece RewardWeighted::piece(std::int64_t update, std::int64_t piece) {
  const auto begin = update * options_.batch_size;
  const auto first = begin + piece * options_.micro_batch;
  const auto last = std::min(first + options_.micro_batch, begin + options_.batch_size);
  const auto rows = order_.slice(0, first, last);
  const auto device = generator().device();
  const Draws draws{.random = Randomness(stage().random.key("examples", index_)), .first = first};
  const auto dropped = draws.uniform("drop", 0, {last - first}) < options_.prompt_dropout;
  Prompts prompts;
  for (std::int64_t k = 0; k < rows.numel(); ++k) {
    const auto number = rows_[rows[k].item<std::int64_t>()].item<std::int64_t>();
    prompts.push_back(dropped[k].item<bool>()
                          ? Prompt{.text = ""}
                          : stage().prompts.all()[static_cast<std::size_t>(number)]);
  }
  const auto corrupted =
      generator().corrupt(rows_or_none(latents_, rows).to(device),
                          noise_levels(options_.levels, rows.numel(), draws, device), draws);
  const auto error =
      generator().error(generator().predict(corrupted, prompts, Policy::kTrained, 1), corrupted);
  const auto map = rows_or_none(maps_, rows);
  const auto own =
      error_per_picture(error, corrupted, map.defined() ? map.to(error.device()) : map);
  const auto weights = weights_.index_select(0, rows).to(own.device());
  Piece made{.loss = (weights * own).sum() / static_cast<double>(options_.batch_size)};
  made.measures = {{"example/error", own.detach().mean()}};
  return made;
}

io::TensorMap RewardWeighted::state() const {
  io::TensorMap all = {{"sampled", torch::tensor({sampled_}, torch::kLong)}};
  if (kept() > 0) {
    all.emplace("latents", latents_);
    all.emplace("prompts", rows_);
    all.emplace("weights", weights_);
  }
  if (maps_.defined()) all.emplace("maps", maps_);
  return all;
}

void RewardWeighted::load_state(const io::TensorMap& state) {
  const auto need = [&](const char* name) {
    const auto found = state.find(name);
    if (found == state.end()) {
      throw CheckpointError(std::string("reward-weighted: the checkpoint lacks ") + name);
    }
    return found->second;
  };
  sampled_ = need("sampled")[0].item<std::int64_t>();
  if (!state.contains("latents")) return;
  latents_ = need("latents").to(generator().device());
  rows_ = need("prompts");
  weights_ = need("weights");
  if (state.contains("maps")) maps_ = need("maps").to(generator().device());
}

}  // namespace rahf::rl
