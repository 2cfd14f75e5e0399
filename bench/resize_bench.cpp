#include <benchmark/benchmark.h>

#include "pictures.h"
#include "rahf/core/io/resize.h"

namespace {

// Pictures of 512 x 512 shrunk to 224 x 224 per second, as Pillow does it.
void resize(benchmark::State& state, rahf::io::ResizeFilter filter) {
  const auto image = rahf::bench::picture(512, 512);
  for (auto _ : state) {
    benchmark::DoNotOptimize(rahf::io::resize(image, 224, 224, filter).pixels.data());
  }
  state.counters["images/s"] = benchmark::Counter(1, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

BENCHMARK_CAPTURE(resize, bilinear, rahf::io::ResizeFilter::kBilinear)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(resize, bicubic, rahf::io::ResizeFilter::kBicubic)->Unit(benchmark::kMillisecond);
