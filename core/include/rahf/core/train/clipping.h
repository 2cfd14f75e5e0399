#pragma once

#include <torch/types.h>

#include <vector>

namespace rahf::train {

/// Scales the gradients in place so that their joint 2-norm is at most `max_norm`.
/// @param max_norm  > 0, or 0 to scale nothing
/// @return          [] f32, the norm before; not finite if a gradient is not; 0 for no gradients
torch::Tensor clip_gradients(std::vector<torch::Tensor>& gradients, double max_norm);

}  // namespace rahf::train
