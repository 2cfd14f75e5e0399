#include "rahf/core/nn/greedy.h"

#include <string>
#include <utility>
#include <vector>

#include "rahf/core/error.h"

namespace rahf::nn {

torch::Tensor greedy(const NextLogits& next_logits, std::int64_t rows, torch::Device device,
                     const GreedyOptions& options) {
  if (options.max_new_tokens <= 0) {
    throw ConfigError("greedy: max_new_tokens must be > 0, got " +
                      std::to_string(options.max_new_tokens));
  }
  const torch::NoGradGuard no_grad;
  const auto ids = torch::TensorOptions(torch::kLong).device(device);
  std::vector<torch::Tensor> columns{torch::full({rows, 1}, options.start, ids)};
  auto finished = torch::zeros({rows, 1}, ids.dtype(torch::kBool));
  for (std::int64_t step = 0; step < options.max_new_tokens; ++step) {
    auto next =
        next_logits(columns.back()).argmax(-1).masked_fill(finished, options.pad);  // [B, 1]
    finished = finished | (next == options.eos);
    columns.push_back(std::move(next));
    if (finished.all().item<bool>()) break;
  }
  return torch::cat(columns, 1);
}

}  // namespace rahf::nn
