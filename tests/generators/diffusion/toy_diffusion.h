#pragma once

#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rahf/generators/diffusion/latent_diffusion.h"

/// A network with weights that all steps share, and an offset for each training step, which shows
/// which steps a gradient reached.
struct ToyNetworkImpl : torch::nn::Module {
  explicit ToyNetworkImpl(std::int64_t input_channels = 2) {
    torch::manual_seed(3);
    first = register_module(
        "first", torch::nn::Conv2d(torch::nn::Conv2dOptions(input_channels, 8, 3).padding(1)));
    text = register_module("text", torch::nn::Linear(4, 8));
    last = register_module("last", torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 2, 3).padding(1)));
    offset = register_parameter("offset", torch::zeros({1001}));
  }
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& timesteps,
                        const torch::Tensor& states) {
    ++calls;
    if (torch::GradMode::is_enabled()) ++graph_calls;
    seen = x.detach();
    const auto hidden = first(x) + text(states.mean(1)).view({-1, 8, 1, 1});
    return last(torch::tanh(hidden)) +
           offset.index_select(0, timesteps.to(torch::kLong)).view({-1, 1, 1, 1});
  }

  torch::nn::Conv2d first{nullptr}, last{nullptr};
  torch::nn::Linear text{nullptr};
  torch::Tensor offset;
  int calls = 0, graph_calls = 0;
  torch::Tensor seen;  ///< What the latest call was given.
};
TORCH_MODULE(ToyNetwork);

/// Latent diffusion on latents [2, 3, 4] of pictures [3, 6, 8], in which nothing is learnt.
inline rahf::generators::LatentDiffusion toy_diffusion(
    const ToyNetwork& network, const rahf::generators::SchedulerOptions& scheduler = {},
    bool inpainting_input = false) {
  using torch::Tensor;
  rahf::generators::LatentDiffusionParts parts;
  parts.network = network.ptr();
  parts.denoise = [module = network](const Tensor& x, const Tensor& t,
                                     const Tensor& states) mutable {
    return module->forward(x, t, states);
  };
  // Red and green are the channels, blue is neither; pictures are smooth in the latents.
  parts.decode = [](const Tensor& latents) {
    const auto pixels = torch::upsample_nearest2d(latents, {6, 8});
    return 0.5 + 0.25 * torch::cat({pixels, pixels.mean(1, true)}, 1).tanh();
  };
  parts.encode = [](const Tensor& images) {
    return torch::avg_pool2d(((images.narrow(1, 0, 2) - 0.5) / 0.25).clamp(-0.99, 0.99).atanh(), 2);
  };
  parts.text = [](const rahf::Prompts& prompts) {
    std::vector<Tensor> all;
    for (const auto& prompt : prompts) {
      const auto key = static_cast<float>(std::hash<std::string>()(prompt.text) % 97);
      all.push_back(torch::cos(torch::arange(12) * (1 + key)).view({3, 4}));
    }
    return torch::stack(all);
  };
  parts.trainable = [network] {
    std::vector<rahf::OptimisedParameter> all;
    for (const auto& one : network->named_parameters()) {
      all.push_back({.name = one.key(), .value = one.value()});
    }
    return all;
  };
  parts.save = [](const std::filesystem::path&) {};
  return rahf::generators::LatentDiffusion(std::move(parts),
                                           {.scheduler = scheduler,
                                            .grid = {.height = 3, .width = 4},
                                            .channels = 2,
                                            .factor = 2,
                                            .inpainting_input = inpainting_input},
                                           torch::kCPU);
}

inline rahf::Prompts toy_prompts(std::int64_t count) {
  rahf::Prompts prompts;
  for (std::int64_t i = 0; i < count; ++i)
    prompts.push_back({.text = "picture " + std::to_string(i)});
  return prompts;
}
