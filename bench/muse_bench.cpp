#include <ATen/autocast_mode.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include "rahf/generators/muse/masked_sampling.h"
#include "rahf/generators/muse/uvit2d.h"

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

rahf::generators::UVit2DCondition condition(UVit2DModel& network, std::int64_t batch,
                                            std::int64_t length) {
  const auto& options = network->options();
  return network->condition(torch::zeros({batch, length, options.encoder_hidden_size}),
                            torch::zeros({batch, options.cond_embed_dim}),
                            torch::zeros({batch, options.micro_conditions()}));
}

// Pictures per second through aMUSEd-256's network, text included. Argument: pictures in a batch.
void uvit2d_amused256(benchmark::State& state, bool bf16) {
  const c10::InferenceMode no_grad;
  UVit2DModel network;
  if (bf16) network->to(torch::kBFloat16);
  const auto ids = torch::zeros({state.range(0), 16, 16}, torch::kLong);
  const auto run = [&] { return network(ids, condition(network, state.range(0), 77)); };
  run();
  for (auto _ : state) benchmark::DoNotOptimize(run().const_data_ptr());
  state.counters["images/s"] = benchmark::Counter(static_cast<double>(state.range(0)),
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

// Grids of tokens per second by 12 steps with guidance. Argument: grids in a batch.
void muse_tiny_sampler(benchmark::State& state) {
  const c10::InferenceMode no_grad;
  UVit2DModel network(tiny_options());
  const auto batch = state.range(0), mask = network->options().mask_token();
  const rahf::generators::MaskedSteps steps;
  const auto sample = [&] {
    const auto given = condition(network, 2 * batch, 16);
    auto ids = torch::full({batch, 16, 16}, mask, torch::kLong);
    for (std::int64_t t = 0; t < steps.count; ++t) {
      const auto halves = network(torch::cat({ids, ids}), given).chunk(2);
      const auto logits = halves[0] + 3 * (halves[1] - halves[0]);
      const auto log_p = torch::log_softmax(logits.permute({0, 2, 3, 1}), -1).permute({0, 3, 1, 2});
      const auto drawn = rahf::generators::draw_tokens(log_p, torch::rand(ids.sizes()));
      ids = rahf::generators::masked_step(log_p, ids, drawn, torch::rand(ids.sizes()), steps.at(t),
                                          mask)
                .ids;
    }
    return ids;
  };
  sample();
  for (auto _ : state) benchmark::DoNotOptimize(sample().const_data_ptr());
  state.counters["images/s"] =
      benchmark::Counter(static_cast<double>(batch), benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

BENCHMARK_CAPTURE(uvit2d_amused256, f32, false)
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK_CAPTURE(uvit2d_amused256, bf16, true)
    ->Arg(2)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();
BENCHMARK(muse_tiny_sampler)->Arg(16)->Unit(benchmark::kMillisecond)->UseRealTime();
