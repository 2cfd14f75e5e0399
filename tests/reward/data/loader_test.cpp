#include "rahf/reward/data/loader.h"

#include <set>

#include "rahf/core/error.h"
#include "reward/dataset_folder.h"
#include "support/catch.h"

using namespace rahf::reward;

namespace {

/// A dataset of `count` pictures of 8 x 8.
struct Files {
  explicit Files(std::int64_t count) : dataset({write_counting(folder / "a.h5", 0, count)}) {}
  ScratchFolder folder;
  Dataset dataset;
};

bool equal(const Batch& a, const Batch& b) {
  return a.images.equal(b.images) && a.scores.equal(b.scores) &&
         a.implausibility.equal(b.implausibility) && a.misalignment.equal(b.misalignment) &&
         a.prompts == b.prompts && a.misaligned_words == b.misaligned_words;
}

}  // namespace

TEST_CASE("Loader gives the same batches whatever the threads and the start", "[reward][loader]") {
  const Files files(11);
  LoaderOptions options{.batch_size = 4, .image_size = 8, .seed = 5, .threads = 0};
  options.augment = AugmentOptions{};
  const auto rows = files.dataset.indices("all");
  const Loader reference(files.dataset, rows, options);
  const auto threads = GENERATE(0, 1, 3);
  const auto first = GENERATE(0, 2, 7);
  options.threads = threads;
  options.prefetch = 2;
  Loader loader(files.dataset, rows, options, first);
  for (std::int64_t k = first; k < first + 6; ++k) CHECK(equal(loader.next(), reference.batch(k)));
}

TEST_CASE("Loader draws other batches with another seed", "[reward][loader]") {
  const Files files(11);
  LoaderOptions options{.batch_size = 11, .image_size = 8, .threads = 0};
  Loader one(files.dataset, files.dataset.indices("all"), options);
  options.seed = 1;
  Loader other(files.dataset, files.dataset.indices("all"), options);
  CHECK(one.rows(0) != other.rows(0));
  CHECK(one.rows(0) != one.rows(1));
}

TEST_CASE("Loader shows every row once in a pass", "[reward][loader]") {
  const Files files(10);
  const auto batch_size = GENERATE(1, 3, 4, 25);
  const std::vector<std::int64_t> rows = {1, 3, 5, 7, 9, 2, 4};
  Loader loader(files.dataset, rows, {.batch_size = batch_size, .image_size = 8, .threads = 0});
  std::vector<std::int64_t> seen;
  for (std::int64_t k = 0; std::ssize(seen) < 3 * 7; ++k) {
    for (const auto row : loader.rows(k)) seen.push_back(row);
  }
  const std::set<std::int64_t> all(rows.begin(), rows.end());
  for (int pass = 0; pass < 3; ++pass) {
    CHECK(std::set<std::int64_t>(seen.begin() + 7 * pass, seen.begin() + 7 * (pass + 1)) == all);
  }
  CHECK(std::vector<std::int64_t>(seen.begin(), seen.begin() + 7) !=
        std::vector<std::int64_t>(seen.begin() + 7, seen.begin() + 14));
}

TEST_CASE("Loader ends after one pass in order where that is asked for", "[reward][loader]") {
  const Files files(7);
  Loader loader(files.dataset, files.dataset.indices("all"),
                {.batch_size = 3,
                 .image_size = 8,
                 .shuffle = false,
                 .repeat = false,
                 .threads = GENERATE(0, 2)});
  REQUIRE(loader.batches() == 3);
  CHECK(loader.next().prompts == std::vector<std::string>{"prompt 0", "prompt 1", "prompt 2"});
  loader.next();
  const auto last = loader.next();
  CHECK(last.prompts == std::vector<std::string>{"prompt 6"});
  CHECK(last.images.size(0) == 1);
  REQUIRE_THROWS_MATCHES(loader.next(), rahf::Error, Says("there are 3 batches"));
}

TEST_CASE("Loader makes tensors of what the dataset holds", "[reward][loader]") {
  const Files files(4);
  const auto batch_of = [&](std::int64_t size) {
    return Loader(files.dataset, {3}, {.batch_size = 1, .image_size = size, .threads = 0}).next();
  };
  const auto batch = batch_of(8);
  CHECK(batch.images.sizes() == torch::IntArrayRef{1, 3, 8, 8});
  CHECK(batch.images[0][0][0][5].item<float>() == Approx(5.0 / 255));
  CHECK(batch.images[0][2][0][0].item<float>() == Approx(3.0 / 255));
  CHECK(batch.implausibility[0][2][2].item<float>() == Approx(3.0 / 255));
  CHECK(batch.misalignment[0][1][0].item<float>() == Approx(8.0 / 255));
  CHECK(batch.scores[0][1].item<float>() == 0.5f);
  CHECK(batch.misaligned_words == std::vector<std::vector<std::uint8_t>>{{0, 1}});
  const auto resized = batch_of(16);
  CHECK(resized.images.sizes() == torch::IntArrayRef{1, 3, 16, 16});
  CHECK(resized.implausibility.sizes() == torch::IntArrayRef{1, 16, 16});
  CHECK(resized.implausibility.mean().item<float>() == Approx(3.0 / 255).epsilon(1e-4));
}

TEST_CASE("Loader hands a picture's failure to the caller of next", "[reward][loader][errors]") {
  const ScratchFolder folder;
  auto row = counting_row(0);
  row.picture = {1, 2, 3};
  {
    DatasetWriter writer(folder / "a.h5", 8, {});
    writer.append({{counting_row(1), row}});
    writer.finish();
  }
  const Dataset dataset({folder / "a.h5"});
  Loader loader(dataset, {0, 1},
                {.batch_size = 1, .image_size = 8, .shuffle = false, .threads = GENERATE(0, 1)});
  CHECK_NOTHROW(loader.next());
  REQUIRE_THROWS_MATCHES(loader.next(), rahf::FileError, Says("0.png"));
}

TEST_CASE("Loader refuses options that make no batches", "[reward][loader][errors]") {
  const Files files(2);
  const auto load = [&](const LoaderOptions& options, std::vector<std::int64_t> rows) {
    Loader loader(files.dataset, std::move(rows), options);
  };
  REQUIRE_THROWS_MATCHES(load({.image_size = 8}, {}), rahf::ConfigError,
                         Says("rows must not be empty"));
  REQUIRE_THROWS_MATCHES(load({}, {0}), rahf::ConfigError, Says("image_size must be > 0, got 0"));
  REQUIRE_THROWS_MATCHES(load({.batch_size = 0, .image_size = 8}, {0}), rahf::ConfigError,
                         Says("batch_size must be > 0, got 0"));
}
