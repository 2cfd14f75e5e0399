#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <vector>

namespace rahf::nn {

using CheckpointBody = std::function<torch::Tensor(const std::vector<torch::Tensor>&)>;

/// body(inputs), without keeping what it computes inside: backward runs it again, from the same
/// random state (CPU's and that of the inputs' device) and under the same autocast settings, and
/// leaves the random state as it was. Gradients equal the plain call's bit for bit (Chen et al.
/// 2016, arXiv 1604.06174). Where no gradient is asked for it is the plain call.
///
/// @param module  whose parameters and adapters body uses: gradients flow to them and `inputs`.
/// @param inputs  defined tensors, each of which body may use; what body captures besides is taken
///                as constant.
torch::Tensor checkpoint(const torch::nn::Module& module, const std::vector<torch::Tensor>& inputs,
                         CheckpointBody body);

}  // namespace rahf::nn
