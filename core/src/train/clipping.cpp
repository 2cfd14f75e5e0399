#include "rahf/core/train/clipping.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>

namespace rahf::train {

torch::Tensor clip_gradients(std::vector<torch::Tensor>& gradients, double max_norm) {
  if (gradients.empty()) return torch::zeros({});
  const torch::NoGradGuard no_grad;
  const auto norm = torch::stack(at::_foreach_norm(gradients)).to(torch::kFloat).norm();
  if (max_norm > 0) {
    const auto scale = (max_norm / (norm + 1e-6)).clamp_max(1);
    at::_foreach_mul_(gradients, scale.to(gradients.front().scalar_type()));
  }
  return norm;
}

}  // namespace rahf::train
