#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include "rahf/generators/muse/muse.h"

namespace {

using rahf::generators::UVit2DModel;
using rahf::generators::UVit2DOptions;

/// As configs/muse-tiny.cfg has it: tokens 16 x 16, the transformer at 8 x 8, texts of 16 tokens.
UVit2DOptions tiny_options() {
  return {.hidden_size = 128,
          .num_hidden_layers = 3,
          .num_attention_heads = 4,
          .intermediate_size = 256,
          .in_channels = 64,
          .block_out_channels = 128,
          .num_res_blocks = 2,
          .block_num_heads = 4,
          .downsample = true,
          .upsample = true,
          .vocab_size = 513,
          .codebook_size = 512,
          .encoder_hidden_size = 64,
          .cond_embed_dim = 64,
          .micro_cond_encode_dim = 16,
          .micro_cond_embed_dim = 80,
          .sample_size = 16};
}

void count(benchmark::State& state, std::int64_t pictures) {
  state.counters["images/s"] = benchmark::Counter(static_cast<double>(pictures),
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

// Two pictures through aMUSEd-256's network, forward only, from the text's states on.
void uvit2d_amused256(benchmark::State& state, torch::Dtype dtype) {
  const c10::InferenceMode no_grad;
  UVit2DModel network;
  network->to(dtype);
  const auto ids = torch::zeros({2, 16, 16}, torch::kLong);
  const auto states = torch::zeros({2, 77, 768}, dtype), pooled = torch::zeros({2, 768}, dtype);
  const auto run = [&] {
    return network(ids, network->condition(states, pooled, torch::zeros({2, 5})));
  };
  run();  // the first pass also prepares kernels
  for (auto _ : state) benchmark::DoNotOptimize(run().const_data_ptr());
  count(state, 2);
}

// 16 grids of tokens from the text's states on, in 12 steps with guidance.
void muse_tiny(benchmark::State& state) {
  rahf::generators::Muse muse(
      {.network = UVit2DModel(tiny_options()),
       .text = [](const rahf::Prompts& prompts) -> rahf::generators::TextStates {
         const auto batch = static_cast<std::int64_t>(prompts.size());
         return {.states = torch::zeros({batch, 16, 64}), .pooled = torch::zeros({batch, 64})};
       }},
      {.factor = 4});
  const rahf::Prompts prompts(16, {"a red circle"});
  const rahf::SampleOptions options{
      .num_steps = 12, .guidance_scale = 3, .stochasticity = 2, .decode = false};
  const auto run = [&] {
    return muse.sample(prompts, options, {.random = rahf::Randomness(1)}).latents;
  };
  run();
  for (auto _ : state) benchmark::DoNotOptimize(run().const_data_ptr());
  count(state, 16);
}

}  // namespace

BENCHMARK_CAPTURE(uvit2d_amused256, f32, torch::kFloat)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(uvit2d_amused256, bf16, torch::kBFloat16)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(muse_tiny)->Unit(benchmark::kMillisecond)->UseRealTime();
