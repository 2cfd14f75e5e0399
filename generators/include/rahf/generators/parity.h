#pragma once

#include <filesystem>

#include "rahf/core/nn/parity.h"

// What `rahf parity` compares with diffusers, named as its forward() names things.

namespace rahf::generators {

/// sample (pictures in [-1, 1]) -> mean, logvar; latents -> sample
io::TensorMap vae_outputs(const std::filesystem::path& folder, const nn::ParityCase& test);
/// sample (pictures in [0, 1]) -> latents, ids, commitment (its mean), sample (decoded codes)
io::TensorMap vq_model_outputs(const std::filesystem::path& folder, const nn::ParityCase& test);
/// sample, timestep, encoder_hidden_states -> sample
io::TensorMap unet_outputs(const std::filesystem::path& folder, const nn::ParityCase& test);
/// A sampler's whole way, from injected draws: stochasticity, start, predictions, noise ->
/// timesteps, states, log_prob (of the states that the case expects: their rounding would show)
io::TensorMap scheduler_outputs(const std::filesystem::path& folder, const nn::ParityCase& test);

}  // namespace rahf::generators
