#include "rahf/reward/data/dataset.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <thread>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "reward/dataset_folder.h"
#include "support/catch.h"
#include "support/full_disk.h"

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
      Hdf5File(file, Hdf5File::Mode::kAppend).set_attribute("/", "format_version", std::int64_t{9});
    }
    REQUIRE_THROWS_MATCHES(Dataset({file}), FileError, Says("format_version must be 2, got 9"));
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

TEST_CASE("Dataset refuses tables of another type or shape, and values out of range",
          "[reward][dataset][errors]") {
  const ScratchFolder folder;
  const auto file = folder / "a.h5";
  const auto refused = [&](DatasetRow row, const char* text) {
    DatasetWriter writer(file, 8, {});
    writer.append({{row}});
    writer.finish();
    REQUIRE_THROWS_MATCHES(Dataset({file}), FileError, Says(text));
  };
  auto row = counting_row(0);
  SECTION("a score from one to five") {
    row.scores[1] = 4;
    refused(row, "row 0 ('0.png'): scores must be in [0, 1], got 4 of alignment");
  }
  SECTION("a score that is no number") {
    row.scores[3] = std::nanf("");
    refused(row, "scores must be in [0, 1], got nan of overall");
  }
  SECTION("no size") {
    row.height = 0;
    refused(row, "size must be > 0, got 0 x 8");
  }
  SECTION("an unknown split") {
    row.split = static_cast<Split>(3);
    refused(row, "split must be below 3, got 3");
  }
  SECTION("a flag too many") {
    row.misaligned_words.push_back(0);
    refused(row, "misaligned_words must be one flag per word of the prompt, 2, got 3");
  }
  SECTION("a flag that is neither") {
    row.misaligned_words[0] = 2;
    refused(row, "misaligned_words must be 0 or 1, got 2");
  }
  SECTION("maps of numbers with a point") {
    write_counting(file, 0, 1);
    const auto copy = folder / "b.h5";
    {
      const Hdf5File from(file, Hdf5File::Mode::kRead);
      Hdf5File to(copy, Hdf5File::Mode::kCreate);
      for (const auto* name : {"image", "prompt", "annotations"}) {
        to.create_strings(name);
        to.append(name, from.read_strings(name, 0, 1));
      }
      for (const auto* name : {"picture", "misaligned_words"}) {
        to.create_bytes(name);
        to.append(name, from.read_bytes(name, 0, 1));
      }
      for (const auto* name : {"size", "scores", "split", "misalignment", "implausibility"}) {
        auto values = from.read(name, 0, 1);
        if (std::string(name) == "implausibility") values = values.to(torch::kFloat) / 255;
        to.create_array(name, values.scalar_type(), values.sizes().slice(1).vec(), 1);
        to.append(name, values);
      }
      to.set_attribute("/", "format", std::string("rahf-dataset"));
      to.set_attribute("/", "format_version", std::int64_t{2});
      to.set_attribute("/", "map_size", std::int64_t{8});
    }
    REQUIRE_THROWS_MATCHES(
        Dataset({copy}), FileError,
        Says("table 'implausibility' must have rows of [8, 8] Byte, got [8, 8] Float"));
  }
  SECTION("a picture of another size") {
    row.height = 9;
    DatasetWriter writer(file, 8, {});
    writer.append({{row}});
    writer.finish();
    REQUIRE_THROWS_MATCHES(Dataset({file}).at(0), FileError,
                           Says("0.png: the picture must be 9 x 8 as table 'size' says"));
  }
}

TEST_CASE("DatasetWriter keeps what is safe when the disk is full, and goes on",
          "[reward][dataset][errors][resume]") {
  const ScratchFolder folder;
  const auto file = folder / "a.h5";
  auto row = counting_row(0);
  row.picture = rahf::io::encode_png(counting_picture(200, 200));
  row.height = row.width = 200;
  torch::manual_seed(2);
  row.implausibility = torch::randint(0, 256, {300, 300}, torch::kByte);
  row.misalignment = row.implausibility;
  constexpr int kRows = 6;
  const auto outcome = on_full_disk(700000, [&] {
    try {
      DatasetWriter writer(file, 300, {{"source", "test"}});
      for (int i = 0; i < kRows; ++i) writer.append({{row}});
      writer.finish();
    } catch (const FileError&) {
      return 7;
    }
    return 0;
  });
  CHECK(outcome == 7);
  CHECK_FALSE(std::filesystem::exists(file));
  DatasetWriter writer(file, 300, {{"source", "test"}});
  CHECK(writer.size() == kRows);
  writer.finish();
  const Dataset dataset({file});
  CHECK(dataset.size() == kRows);
  CHECK(dataset.at(5).misalignment.equal(row.misalignment));
}

TEST_CASE("Dataset reads what was written, or refuses it, whichever byte differs",
          "[reward][dataset][errors]") {
  const ScratchFolder folder;
  const auto path = write_counting(folder / "a.h5", 0, 2);
  auto bytes = rahf::io::read_file(path);
  const auto step = std::max<std::size_t>(1, bytes.size() / 1000);
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const char flip = static_cast<char>(1 << at / step % 8);
    bytes[at] = static_cast<char>(bytes[at] ^ flip);
    std::ofstream(path, std::ios::binary) << bytes;
    bytes[at] = static_cast<char>(bytes[at] ^ flip);
    try {
      const Dataset dataset({path});
      if (dataset.size() != 2) throw FileError("row lost");
      for (std::int64_t i = 0; i < 2; ++i) {
        const auto row = counting_row(i);
        const auto sample = dataset.at(i);
        const bool same = sample.prompt == row.prompt && dataset.picture(i) == row.picture &&
                          sample.scores == row.scores &&
                          sample.misalignment.equal(row.misalignment) &&
                          dataset.annotations(i) == row.annotations;
        if (!same) FAIL("byte " << at << " changed a row unseen");
      }
    } catch (const rahf::Error&) {
    }
  }
  SUCCEED();
}
