#include "rahf/world/write_world.h"

#include <torch/types.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/hdf5.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/judgement.h"
#include "rahf/core/progress.h"
#include "support/catch.h"
#include "support/full_disk.h"

using namespace rahf::world;
using rahf::Randomness;
using rahf::io::Hdf5File;

namespace {

/// A folder of its own, removed in the end.
struct Folder {
  std::filesystem::path path;
  explicit Folder(const char* name)
      : path(std::filesystem::temp_directory_path() / ("rahf_write_world_" + std::string(name))) {
    std::filesystem::remove_all(path);
    rahf::Progress::silence(true);
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

std::vector<nlohmann::json> lines_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

}  // namespace

TEST_CASE("write_world writes what draw_picture draws", "[world][write]") {
  const Folder folder("all");
  const Randomness random(3);
  constexpr int kCount = 300;  // more than are drawn at once
  const auto summary = write_world(folder.path, kCount, {}, random);
  CHECK(summary.pictures == kCount);

  const Hdf5File truth(folder.path / "truth.h5", Hdf5File::Mode::kRead);
  const auto records = lines_of(folder.path / "annotations.jsonl");
  REQUIRE(records.size() == 3 * kCount);
  REQUIRE(truth.rows("scores") == kCount);
  CHECK(truth.int_attribute("/", "seed") == 3);
  CHECK(truth.string_attribute("/", "size") == "64");
  CHECK(truth.int_attribute("/", "version") == 1);
  std::int64_t flawed = 0;
  for (const int i : {0, 1, 2, 3, 255, 256, 299}) {
    const auto picture = draw_picture({}, random, i);
    const auto image = truth.read_strings("image", i, i + 1)[0];
    CHECK(rahf::io::read_image(folder.path / "pictures" / image) == picture.image);
    CHECK(truth.read_strings("prompt", i, i + 1)[0] == picture.prompt);
    const auto scores = truth.read("scores", i, i + 1);
    for (int k = 0; k < 4; ++k) CHECK(scores[0][k].item<float>() == picture.truth.scores[k]);
    const auto map = truth.read("implausibility", i, i + 1).contiguous();
    CHECK(Mask(map.data_ptr<std::uint8_t>(), map.data_ptr<std::uint8_t>() + map.numel()) ==
          picture.truth.implausibility);
    const auto kinds = truth.read_bytes("word_kinds", i, i + 1)[0];
    const auto wrong = truth.read_bytes("misaligned_words", i, i + 1)[0];
    REQUIRE(kinds.size() == picture.truth.words.size());
    for (std::size_t w = 0; w < kinds.size(); ++w) {
      CHECK(kinds[w] == static_cast<std::uint8_t>(picture.truth.words[w]));
      CHECK(wrong[w] == (kinds[w] != 0));
    }
    for (int j = 0; j < 3; ++j) {
      const auto& record = records[3 * i + j];
      const auto& said = picture.annotations[j];
      CHECK(record["image"] == image);
      CHECK(record["prompt"] == picture.prompt);
      CHECK(record["annotator"] == said.annotator);
      CHECK(record["implausible_points"] == nlohmann::json(said.implausible_points));
      CHECK(record["misaligned_words"] == nlohmann::json(said.misaligned_words));
      CHECK(record["scores"]["overall"] == said.scores[3]);
    }
  }
  const auto names = truth.read_strings("flaws", 0, kCount);
  for (const auto& flaws : names) flawed += !flaws.empty();
  CHECK(flawed == summary.flawed);
  const auto severity = truth.read("severity", 0, kCount);
  CHECK((severity > 0).sum().item<std::int64_t>() == flawed);
}

TEST_CASE("write_world writes the same first pictures whatever their number", "[world][write]") {
  const Folder few("few"), many("many");
  write_world(few.path, 3, {}, Randomness(9));
  write_world(many.path, 5, {}, Randomness(9));
  for (const auto* name : {"000000.png", "000001.png", "000002.png"}) {
    CHECK(rahf::io::read_file(few.path / "pictures" / name) ==
          rahf::io::read_file(many.path / "pictures" / name));
  }
  const auto start = rahf::io::read_file(few.path / "annotations.jsonl");
  CHECK(rahf::io::read_file(many.path / "annotations.jsonl").substr(0, start.size()) == start);
}

TEST_CASE("write_world refuses a folder that cannot be made", "[world][write][errors]") {
  const Folder folder("refused");
  std::ofstream(folder.path) << "a file";
  CHECK_THROWS_MATCHES(write_world(folder.path, 1, {}, Randomness(1)), rahf::FileError,
                       Says("cannot be made"));
}

TEST_CASE("write_world leaves no truth behind that did not fit the disk",
          "[world][write][errors]") {
  const Folder folder("full");
  const auto outcome = on_full_disk(60000, [&] {
    try {
      write_world(folder.path, 60, {}, Randomness(1));
    } catch (const rahf::FileError&) {
      return 7;
    }
    return 0;
  });
  CHECK(outcome == 7);
  CHECK_FALSE(std::filesystem::exists(folder.path / "truth.h5"));
}
