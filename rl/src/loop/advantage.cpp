#include "rahf/rl/loop/advantage.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::rl {
namespace {

struct Statistics {
  double mean = 0;
  double std = 0;
  bool equal = true;
};

template <class Numbers>
Statistics statistics(const Numbers& numbers, bool unbiased) {
  Statistics found;
  if (numbers.empty()) return found;
  const double first = numbers.front();
  double sum = 0;
  for (const double x : numbers) {
    sum += x - first;
    found.equal = found.equal && x == first;
  }
  const auto count = static_cast<double>(numbers.size());
  const double shift = sum / count;  // exactly 0 if all are equal
  found.mean = first + shift;
  double squares = 0;
  for (const double x : numbers) squares += (x - first - shift) * (x - first - shift);
  const double divisor = unbiased ? count - 1 : count;
  found.std = divisor > 0 ? std::sqrt(squares / divisor) : 0;
  return found;
}

std::vector<double> finite_rewards(const torch::Tensor& rewards, const Prompts& prompts) {
  Shapes("advantages").check("rewards", rewards, {static_cast<std::int64_t>(prompts.size())});
  const auto host = rewards.detach().to(torch::kCPU, torch::kDouble).contiguous();
  std::vector<double> all(host.data_ptr<double>(), host.data_ptr<double>() + host.numel());
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (std::isfinite(all[i])) continue;
    throw NonFiniteError("advantages: rewards must be finite, got " + std::to_string(all[i]) +
                         " for picture " + std::to_string(i) + " of prompt '" + prompts[i].text +
                         "'");
  }
  return all;
}

// Unclipped; without the choice of rows.
std::vector<double> raw_advantages(const std::vector<double>& rewards, const Prompts& prompts,
                                   const std::map<std::string, std::vector<double>>& groups,
                                   const AdvantageOptions& options, PromptRewards& seen) {
  for (std::size_t i = 0; i < rewards.size(); ++i) {
    seen.add(prompts[i].text, rewards[i], options.buffer_size);
  }
  const auto batch = statistics(rewards, options.unbiased);
  std::map<std::string, Statistics> baselines;
  for (const auto& [prompt, group] : groups) {
    auto& own = baselines[prompt];
    if (options.baseline == Baseline::kNone) continue;
    if (options.baseline == Baseline::kGroup) {
      own = statistics(group, options.unbiased);
    } else if (options.baseline == Baseline::kBuffer &&
               static_cast<std::int64_t>(seen.of(prompt).size()) >= options.buffer_min) {
      own = statistics(seen.of(prompt), options.unbiased);
    } else {
      own = batch;
    }
  }
  std::vector<double> all;
  for (std::size_t i = 0; i < rewards.size(); ++i) {
    const auto& own = baselines.at(prompts[i].text);
    const double difference = rewards[i] - own.mean;  // exactly 0 if all are equal
    const double divisor = options.spread == Spread::kNone    ? 1
                           : options.spread == Spread::kBatch ? batch.std + options.epsilon
                                                              : own.std + options.epsilon;
    all.push_back(difference / divisor);
  }
  return all;
}

}  // namespace

void AdvantageOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("AdvantageOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("epsilon", epsilon, epsilon > 0, "> 0");
  check("clip", clip, clip > 0, "> 0");
  check("buffer_size", static_cast<double>(buffer_size), buffer_size > 0, "> 0");
  check("buffer_min", static_cast<double>(buffer_min), buffer_min > 0 && buffer_min <= buffer_size,
        "in (0, buffer_size]");
  if (baseline == Baseline::kNone && spread == Spread::kSame) {
    throw ConfigError("AdvantageOptions.spread must be batch or none where baseline is none");
  }
}

void PromptRewards::add(const std::string& prompt, double reward, std::int64_t size) {
  auto& own = rewards_[prompt];
  own.push_back(reward);
  while (static_cast<std::int64_t>(own.size()) > size) own.pop_front();
}

const std::deque<double>& PromptRewards::of(const std::string& prompt) const {
  static const std::deque<double> none;
  const auto found = rewards_.find(prompt);
  return found == rewards_.end() ? none : found->second;
}

io::TensorMap PromptRewards::state() const {
  io::TensorMap all;
  for (const auto& [prompt, own] : rewards_) {
    // Rewards are f32; so nothing is lost.
    auto numbers = torch::empty({static_cast<std::int64_t>(own.size())}, torch::kFloat);
    for (std::size_t i = 0; i < own.size(); ++i) {
      numbers.data_ptr<float>()[i] = static_cast<float>(own[i]);
    }
    all.emplace(prompt, numbers);
  }
  return all;
}

void PromptRewards::load_state(const io::TensorMap& state) {
  rewards_.clear();
  for (const auto& [prompt, numbers] : state) {
    const auto host = numbers.to(torch::kFloat).contiguous();
    rewards_[prompt].assign(host.data_ptr<float>(), host.data_ptr<float>() + host.numel());
  }
}

Advantages advantages(const torch::Tensor& rewards, const Prompts& prompts,
                      const AdvantageOptions& options, PromptRewards& seen) {
  std::vector<PromptRewards> all = {std::move(seen)};
  auto result = advantages(rewards.unsqueeze(1), {1}, prompts, options, all);
  seen = std::move(all.front());
  return result;
}

Advantages advantages(const torch::Tensor& rewards, const std::vector<double>& weights,
                      const Prompts& prompts, const AdvantageOptions& options,
                      std::vector<PromptRewards>& seen) {
  options.validate();
  const auto count = static_cast<std::int64_t>(prompts.size());
  const auto kinds = static_cast<std::int64_t>(weights.size());
  Shapes("advantages").check("rewards", rewards, {count, kinds});
  TORCH_INTERNAL_ASSERT(seen.size() == weights.size());

  std::vector<double> sums(prompts.size(), 0);
  std::map<std::string, bool> teaches;
  double group_std = 0;
  for (std::int64_t k = 0; k < kinds; ++k) {
    const auto own = finite_rewards(rewards.select(1, k), prompts);
    std::map<std::string, std::vector<double>> groups;
    for (std::size_t i = 0; i < own.size(); ++i) groups[prompts[i].text].push_back(own[i]);
    const auto raw =
        raw_advantages(own, prompts, groups, options, seen[static_cast<std::size_t>(k)]);
    for (std::size_t i = 0; i < raw.size(); ++i) {
      sums[i] += weights[static_cast<std::size_t>(k)] * raw[i];
    }
    for (const auto& [prompt, group] : groups) {
      const auto found = statistics(group, options.unbiased);
      teaches[prompt] = teaches[prompt] || !found.equal;
      group_std += found.std / static_cast<double>(groups.size() * weights.size());
    }
  }

  Advantages result{.values = torch::empty({count}, torch::kFloat), .group_std = group_std};
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto place = static_cast<std::size_t>(i);
    result.values.data_ptr<float>()[i] =
        static_cast<float>(std::clamp(sums[place], -options.clip, options.clip));
    if (teaches.at(prompts[place].text) || !options.drop_equal) rows.push_back(i);
  }
  const auto idle =
      std::count_if(teaches.begin(), teaches.end(), [](const auto& one) { return !one.second; });
  if (!teaches.empty()) {
    result.equal_share = static_cast<double>(idle) / static_cast<double>(teaches.size());
  }
  result.rows = torch::tensor(rows, torch::kLong);
  return result;
}

}  // namespace rahf::rl
