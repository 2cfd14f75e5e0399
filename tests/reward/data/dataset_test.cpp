#include "rahf/reward/data/dataset.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "rahf/core/error.h"
#include "reward/dataset_folder.h"
#include "support/catch.h"

using namespace rahf::reward;
using rahf::FileError;
using rahf::io::Hdf5File;

namespace {

void check_counting(const Dataset& dataset, std::int64_t at, std::int64_t i) {
  const auto row = counting_row(i);
  const auto sample = dataset.at(at);
  CHECK(sample.image == row.image);
  CHECK(sample.prompt == row.prompt);
  CHECK(sample.picture == counting_picture(8, 8, static_cast<std::uint8_t>(i)));
  CHECK(sample.scores == row.scores);
  CHECK(sample.implausibility.equal(row.implausibility));
  CHECK(sample.misalignment.equal(row.misalignment));
  CHECK(sample.misaligned_words == row.misaligned_words);
  CHECK((dataset.annotations(at) == row.annotations));
  CHECK(dataset.split(at) == row.split);
  CHECK(dataset.picture_size(at) == std::array<std::int64_t, 2>{8, 8});
  CHECK(dataset.picture(at) == row.picture);
}

}  // namespace

TEST_CASE("Dataset reads back what DatasetWriter wrote", "[reward][dataset]") {
  const ScratchFolder folder;
  const Dataset dataset({write_counting(folder / "new/a.h5", 0, 5)});
  REQUIRE(dataset.size() == 5);
  for (std::int64_t i = 0; i < 5; ++i) check_counting(dataset, i, i);
  CHECK(dataset.indices("all") == std::vector<std::int64_t>{0, 1, 2, 3, 4});
  CHECK(dataset.indices("dev") == std::vector<std::int64_t>{1, 4});
  CHECK(dataset.indices("test") == std::vector<std::int64_t>{2});
  REQUIRE_THROWS_MATCHES(dataset.indices("val"), rahf::ConfigError,
                         Says("must be train, dev, test or all, got 'val'"));
  CHECK_THROWS(dataset.at(5));
  CHECK_FALSE(std::filesystem::exists(folder / "new/a.h5.partial"));
}

TEST_CASE("Dataset joins several files in order", "[reward][dataset]") {
  const ScratchFolder folder;
  const Dataset dataset(
      {write_counting(folder / "a.h5", 0, 3), write_counting(folder / "b.h5", 7, 9)});
  REQUIRE(dataset.size() == 5);
  check_counting(dataset, 2, 2);
  check_counting(dataset, 4, 8);
}

TEST_CASE("Dataset::at gives the same from several threads", "[reward][dataset]") {
  const ScratchFolder folder;
  const Dataset dataset({write_counting(folder / "a.h5", 0, 40)});
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (std::int64_t i = 0; i < 40; ++i) {
        right += dataset.at(i).implausibility[3][3].item<int>() == i &&
                 dataset.at(i).image == std::to_string(i) + ".png";
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(right == 160);
}

TEST_CASE("DatasetWriter goes on after its process was killed", "[reward][dataset][resume]") {
  const ScratchFolder folder;
  const auto file = folder / "a.h5";
  const DatasetWriter::Attributes attributes = {{"source", "test"}};
  const auto child = fork();
  if (child == 0) {
    DatasetWriter writer(file, 8, attributes);
    for (std::int64_t i = 0; i < 6; ++i) writer.append({{counting_row(i)}});
    std::raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE(WIFSIGNALED(status));
  CHECK_FALSE(std::filesystem::exists(file));

  SECTION("from the same source at the next row") {
    DatasetWriter writer(file, 8, attributes);
    REQUIRE(writer.size() == 6);
    writer.append({{counting_row(6)}});
    writer.finish();
    const Dataset dataset({file});
    REQUIRE(dataset.size() == 7);
    for (std::int64_t i = 0; i < 7; ++i) check_counting(dataset, i, i);
  }
  SECTION("from another source or with another map size from the start") {
    CHECK(DatasetWriter(file, 8, {{"source", "other"}}).size() == 0);
    CHECK(DatasetWriter(file, 9, attributes).size() == 0);
  }
  SECTION("from before the part that is damaged") {
    std::filesystem::resize_file(file.string() + ".partial/000000004.h5", 3000);
    CHECK(DatasetWriter(file, 8, attributes).size() == 4);
  }
  SECTION("again and again") {
    for (std::int64_t i = 6; i < 9; ++i) {
      DatasetWriter writer(file, 8, attributes);
      REQUIRE(writer.size() == i);
      writer.append({{counting_row(i)}});
    }
  }
}

TEST_CASE("Dataset names what is wrong with a file", "[reward][dataset][errors]") {
  const ScratchFolder folder;
  const auto file = folder / "a.h5";
  SECTION("none given") { CHECK_THROWS_AS(Dataset({}), FileError); }
  SECTION("missing") { REQUIRE_THROWS_MATCHES(Dataset({file}), FileError, Says("a.h5")); }
  SECTION("no HDF5") {
    std::ofstream(file) << "text";
    REQUIRE_THROWS_MATCHES(Dataset({file}), FileError, Says("a.h5"));
  }
  SECTION("HDF5 of another kind") {
    { Hdf5File(file, Hdf5File::Mode::kCreate); }
    REQUIRE_THROWS_MATCHES(Dataset({file}), FileError, Says("must be a dataset"));
  }
  SECTION("tables of different lengths") {
    write_counting(file, 0, 3);
    { Hdf5File(file, Hdf5File::Mode::kAppend).truncate("scores", 2); }
    REQUIRE_THROWS_MATCHES(Dataset({file}), FileError,
                           Says("table 'scores' must have 3 rows, got 2"));
  }
  SECTION("a later format") {
    write_counting(file, 0, 3);
    {
      Hdf5File(file, Hdf5File::Mode::kAppend).set_attribute("/", "format_version", std::int64_t{2});
    }
    REQUIRE_THROWS_MATCHES(Dataset({file}), FileError, Says("format_version must be 1, got 2"));
  }
  SECTION("a picture that cannot be decoded") {
    auto row = counting_row(0);
    row.picture.resize(20);
    DatasetWriter writer(file, 8, {});
    writer.append({{row}});
    writer.finish();
    REQUIRE_THROWS_MATCHES(Dataset({file}).at(0), FileError, Says("0.png"));
  }
}
