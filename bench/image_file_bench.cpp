#include <benchmark/benchmark.h>

#include "pictures.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/image_file.h"

namespace {

using Encode = std::vector<std::uint8_t> (*)(const rahf::Image&);

std::vector<std::uint8_t> encode_jpeg(const rahf::Image& image) {
  return rahf::io::encode_jpeg(image, 90);
}

// Pictures of 512 x 512 decoded per second. The file stays in the working directory, so that
// compare.py decodes the same one.
void decode(benchmark::State& state, Encode encode, const char* file) {
  const auto image = rahf::bench::picture(512, 512);
  const auto bytes = encode(image);
  rahf::io::write_atomically(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  for (auto _ : state) benchmark::DoNotOptimize(rahf::io::decode_image(bytes, file).pixels.data());
  state.counters["images/s"] = benchmark::Counter(1, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

BENCHMARK_CAPTURE(decode, png, rahf::io::encode_png, "bench.png")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode, jpeg, encode_jpeg, "bench.jpg")->Unit(benchmark::kMillisecond);
