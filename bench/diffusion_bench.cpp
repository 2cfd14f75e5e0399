#include <benchmark/benchmark.h>
#include <torch/types.h>

#include "rahf/generators/autoencoder/autoencoder_kl.h"
#include "rahf/generators/diffusion/latent_diffusion.h"
#include "rahf/generators/diffusion/unet.h"

namespace {

using namespace rahf;
using namespace rahf::generators;

// The size of a tiny pipeline with random weights; bench/compare.py builds the same. Text states
// are given to both.
LatentDiffusion tiny_diffusion() {
  UNet2DConditionModel unet(UNetOptions{.sample_size = {16},
                                        .in_channels = 8,
                                        .out_channels = 8,
                                        .down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D"},
                                        .up_block_types = {"CrossAttnUpBlock2D", "UpBlock2D"},
                                        .block_out_channels = {64, 128},
                                        .layers_per_block = 1,
                                        .cross_attention_dim = 128,
                                        .attention_head_dim = {4}});
  AutoencoderKL vae(AutoencoderKLOptions{
      .coder = {.latent_channels = 8, .block_out_channels = {32, 64, 64}, .layers_per_block = 1}});
  const auto states = torch::zeros({1, 77, 128});
  LatentDiffusionParts parts;
  parts.network = unet.ptr();
  parts.denoise = [unet](const torch::Tensor& state, const torch::Tensor& timesteps,
                         const torch::Tensor& text) mutable {
    return unet->forward(state, timesteps, text);
  };
  parts.decode = [vae](const torch::Tensor& latents) mutable {
    return vae->decode(vae->unscaled(latents)) / 2 + 0.5;
  };
  parts.text = [states](const Prompts& prompts) {
    return states.expand({static_cast<std::int64_t>(prompts.size()), -1, -1});
  };
  return {std::move(parts),
          {.scheduler = {.steps_offset = 1}, .grid = {16, 16}, .channels = 8, .factor = 4},
          torch::kCPU};
}

// Pictures of 64 x 64 per second: 50 steps of DDIM with guidance. Argument: pictures in a batch.
void tiny_ddim(benchmark::State& state) {
  auto generator = tiny_diffusion();
  const Prompts prompts(static_cast<std::size_t>(state.range(0)));
  const SampleOptions options{.num_steps = 50, .guidance_scale = 2};
  for (auto _ : state) {
    const auto rollout = generator.sample(prompts, options, {.random = Randomness(1)});
    benchmark::DoNotOptimize(rollout.images.const_data_ptr());
  }
  state.counters["images/s"] = benchmark::Counter(static_cast<double>(state.range(0)),
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

BENCHMARK(tiny_ddim)->Arg(16)->Unit(benchmark::kMillisecond)->UseRealTime();
