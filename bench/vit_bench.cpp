#include <ATen/autocast_mode.h>
#include <benchmark/benchmark.h>
#include <c10/core/InferenceMode.h>

#include "rahf/core/nn/vit.h"

namespace {

// Pictures of 224 x 224 per second through ViT-B/16, forward only. Argument: pictures in a batch.
void vit_base(benchmark::State& state, bool bf16) {
  const c10::InferenceMode no_grad;
  rahf::nn::ViT vit;
  vit->eval();
  const auto pixels = torch::zeros({state.range(0), 3, 224, 224});
  at::autocast::set_autocast_dtype(at::kCPU, torch::kBFloat16);
  at::autocast::set_autocast_enabled(at::kCPU, bf16);
  vit(pixels);  // the first pass also prepares kernels
  at::autocast::clear_cache();
  for (auto _ : state) {
    benchmark::DoNotOptimize(vit(pixels).const_data_ptr());
    at::autocast::clear_cache();
  }
  at::autocast::set_autocast_enabled(at::kCPU, false);
  state.counters["images/s"] = benchmark::Counter(static_cast<double>(state.range(0)),
                                                  benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

BENCHMARK_CAPTURE(vit_base, f32, false)->Arg(8)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(vit_base, bf16, true)->Arg(8)->Unit(benchmark::kMillisecond)->UseRealTime();
