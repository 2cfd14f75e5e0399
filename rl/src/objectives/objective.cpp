#include "rahf/rl/objectives/objective.h"

#include <torch/types.h>

#include <utility>

namespace rahf::rl {

io::TensorMap with_prefix(const io::TensorMap& tensors, const std::string& prefix) {
  io::TensorMap found;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(prefix)) found.emplace(name.substr(prefix.size()), tensor);
  }
  return found;
}

Measures reward_measures(const Scored& scored, const ScoringOptions& options) {
  const torch::NoGradGuard no_grad;
  Measures measures;
  for (std::size_t r = 0; r < options.terms.size(); ++r) {
    const auto term = scored.terms.select(1, static_cast<std::int64_t>(r));
    measures.emplace_back("reward/" + options.terms[r], term.mean());
  }
  measures.emplace_back("reward/total", scored.total.mean());
  measures.emplace_back("reward/std", scored.total.std(/*unbiased=*/false));
  return measures;
}

torch::Tensor shuffled(std::int64_t count, const Randomness& random, std::string_view purpose,
                       std::int64_t step) {
  auto order = torch::arange(count);
  auto* numbers = order.data_ptr<std::int64_t>();
  auto engine = random.engine(purpose, step);
  for (std::int64_t k = count; k > 1; --k) {
    std::swap(numbers[k - 1], numbers[uniform_int(engine, k)]);
  }
  return order;
}

torch::Tensor at_steps(const torch::Tensor& per_step, const torch::Tensor& steps) {
  const auto index =
      steps.to(per_step.device())
          .unsqueeze(2)
          .unsqueeze(3)
          .expand({steps.size(0), steps.size(1), per_step.size(2), per_step.size(3)});
  return per_step.gather(1, index);
}

}  // namespace rahf::rl
