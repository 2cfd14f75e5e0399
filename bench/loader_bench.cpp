#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>

#include "pictures.h"
#include "rahf/core/io/image_file.h"
#include "rahf/reward/data/loader.h"

namespace {

using namespace rahf::reward;
namespace fs = std::filesystem;

/// A dataset of noisy PNG pictures of 64 x 64, on disk while it lives.
class Pictures {
 public:
  Pictures() : file_(fs::temp_directory_path() / ("rahf-bench-" + std::to_string(getpid()))) {
    DatasetRow row;
    row.image = "bench.png";
    row.prompt = "two small red circles above a large blue star";
    row.picture = rahf::io::encode_png(rahf::bench::picture(64, 64));
    row.height = row.width = 64;
    row.implausibility = torch::zeros({64, 64}, torch::kByte);
    row.implausibility.slice(0, 20, 30).slice(1, 20, 30).fill_(85);
    row.misalignment = row.implausibility;
    row.misaligned_words.assign(9, 0);
    DatasetWriter writer(file_, 64, {});
    writer.append(std::vector<DatasetRow>(1024, row));
    writer.finish();
  }
  ~Pictures() { fs::remove(file_); }
  Dataset dataset() const { return Dataset({file_}); }

 private:
  fs::path file_;
};

// Pictures per second of one thread: read, decoded, and made into batches of 64.
void load(benchmark::State& state, const AugmentOptions& augment) {
  const Pictures pictures;
  const auto dataset = pictures.dataset();
  Loader loader(dataset, dataset.indices("all"),
                {.batch_size = 64, .image_size = 64, .threads = 0, .augment = augment});
  for (auto _ : state) benchmark::DoNotOptimize(loader.next().images.data_ptr());
  state.counters["images/s"] =
      benchmark::Counter(64, benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

BENCHMARK_CAPTURE(load, plain, AugmentOptions::none())->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(load, augmented, AugmentOptions{})->Unit(benchmark::kMillisecond);
