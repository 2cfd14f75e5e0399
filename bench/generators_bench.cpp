#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include "rahf/generators/autoencoder/autoencoder_kl.h"
#include "rahf/generators/autoencoder/vq_model.h"
#include "rahf/generators/diffusion/unet.h"

// Networks of published sizes, with random weights, forward only: samples per second.

namespace {

using namespace rahf::generators;

template <class Forward>
void measure(benchmark::State& state, std::int64_t batch, const Forward& forward) {
  const c10::InferenceMode no_grad;
  forward();  // the first pass also prepares kernels
  for (auto _ : state) benchmark::DoNotOptimize(forward().const_data_ptr());
  state.counters["images/s"] =
      benchmark::Counter(static_cast<double>(batch), benchmark::Counter::kIsIterationInvariantRate);
}

void unet(benchmark::State& state, const UNetOptions& options, std::int64_t batch,
          std::int64_t side, torch::Dtype dtype) {
  UNet2DConditionModel model(options);
  model->to(dtype);
  model->eval();
  const auto sample = torch::zeros({batch, options.in_channels, side, side}, dtype);
  const auto timestep = torch::full({batch}, 500);
  const auto states = torch::zeros({batch, 77, options.cross_attention_dim}, dtype);
  measure(state, batch, [&] { return model(sample, timestep, states); });
}

void unet_sd15(benchmark::State& state, torch::Dtype dtype) { unet(state, {}, 2, 64, dtype); }

void unet_tiny(benchmark::State& state, torch::Dtype dtype) {
  unet(state,
       {.sample_size = {16},
        .in_channels = 8,
        .out_channels = 8,
        .down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D"},
        .up_block_types = {"CrossAttnUpBlock2D", "UpBlock2D"},
        .block_out_channels = {64, 128},
        .layers_per_block = 1,
        .cross_attention_dim = 128,
        .attention_head_dim = {4}},
       16, 16, dtype);
}

void vae_decode(benchmark::State& state, torch::Dtype dtype) {
  AutoencoderKL model;
  model->to(dtype);
  const auto latents = torch::zeros({1, 4, 32, 32}, dtype);
  measure(state, 1, [&] { return model->decode(latents); });
}

void vq_decode(benchmark::State& state, torch::Dtype dtype) {
  VQModel model;
  model->to(dtype);
  const auto ids = torch::zeros({1, 16, 16}, torch::kLong);
  measure(state, 1, [&] { return model->decode_ids(ids); });
}

}  // namespace

BENCHMARK_CAPTURE(unet_tiny, f32, torch::kFloat)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(unet_tiny, bf16, torch::kBFloat16)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(unet_sd15, f32, torch::kFloat)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(unet_sd15, bf16, torch::kBFloat16)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(vae_decode, f32, torch::kFloat)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(vae_decode, bf16, torch::kBFloat16)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(vq_decode, f32, torch::kFloat)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(vq_decode, bf16, torch::kBFloat16)->Unit(benchmark::kMillisecond)->UseRealTime();
