#include "rahf/rl/objectives/value_baseline.h"

#include <torch/types.h>

#include <algorithm>
#include <string>

#include "rahf/core/error.h"
#include "rahf/core/random.h"

namespace rahf::rl {
namespace {

constexpr std::int64_t kPlaces = 32;

// [B, T, F] on the CPU.
torch::Tensor features_of(const Rollout& rollout) {
  const torch::NoGradGuard no_grad;
  const auto batch = rollout.states.size(0), steps = rollout.states.size(1) - 1;
  const auto states = rollout.states.slice(1, 0, steps);  // [B, T, ...]
  torch::Tensor own;
  if (states.is_floating_point()) {
    const auto flat = states.to(torch::kFloat).flatten(3);  // [B, T, C, hw]
    own = torch::cat({flat.mean(3), flat.std(3, /*unbiased=*/false)}, 2);
  } else {
    const auto decided = rollout.decided.to(torch::kFloat).flatten(2).mean(2).cumsum(1);
    own = decided.unsqueeze(2);  // [B, T, 1]
  }
  own = own.to(torch::kCPU);
  const auto time = (torch::arange(steps, torch::kFloat) / static_cast<double>(steps))
                        .view({1, steps, 1})
                        .expand({batch, steps, 1});
  auto hashes = torch::zeros({batch, 1, kPlaces});
  for (std::int64_t i = 0; i < batch; ++i) {
    const auto place =
        Randomness(0).key(rollout.prompts[static_cast<std::size_t>(i)].text, 0) % kPlaces;
    hashes[i][0][static_cast<std::int64_t>(place)] = 1;
  }
  return torch::cat({torch::ones({batch, steps, 1}), time, own, own * time,
                     hashes.expand({batch, steps, kPlaces})},
                    2);
}

}  // namespace

void ValueBaselineOptions::validate() const {
  if (memory <= 0) {
    throw ConfigError("ValueBaselineOptions.memory = " + std::to_string(memory) + ", must be > 0");
  }
  if (!(ridge > 0)) {
    throw ConfigError("ValueBaselineOptions.ridge = " + option_text::write(ridge) +
                      ", must be > 0");
  }
}

void ValueBaseline::fit(const Rollout& rollout, const torch::Tensor& rewards) {
  const auto features = features_of(rollout);
  const auto host = rewards.detach().to(torch::kCPU, torch::kFloat);
  features_ = features_.defined() ? torch::cat({features_, features}) : features;
  rewards_ = rewards_.defined() ? torch::cat({rewards_, host}) : host;
  const auto first = std::max<std::int64_t>(0, features_.size(0) - options_.memory);
  features_ = features_.slice(0, first).clone();
  rewards_ = rewards_.slice(0, first).clone();
  solve();
}

void ValueBaseline::solve() {
  const auto steps = features_.size(1);
  const auto x = features_.flatten(0, 1).to(torch::kDouble);            // [M T, F]
  const auto y = rewards_.to(torch::kDouble).repeat_interleave(steps);  // [M T]
  const auto count = static_cast<double>(x.size(0));
  const auto gram = x.t().matmul(x) / count + options_.ridge * torch::eye(x.size(1), x.options());
  coefficients_ = torch::linalg_solve(gram, x.t().matmul(y) / count);
}

torch::Tensor ValueBaseline::predict(const Rollout& rollout, const torch::Tensor& steps) const {
  if (!coefficients_.defined()) return torch::zeros(steps.sizes(), torch::kFloat);
  const auto values = features_of(rollout).to(torch::kDouble).matmul(coefficients_);  // [B, T]
  return values.gather(1, steps.to(torch::kCPU)).to(torch::kFloat);
}

io::TensorMap ValueBaseline::state() const {
  if (!features_.defined()) return {};
  return {{"features", features_}, {"rewards", rewards_}};
}

void ValueBaseline::load_state(const io::TensorMap& state) {
  const auto features = state.find("features"), rewards = state.find("rewards");
  if (features == state.end() || rewards == state.end()) return;
  features_ = features->second.clone();
  rewards_ = rewards->second.clone();
  solve();
}

}  // namespace rahf::rl
