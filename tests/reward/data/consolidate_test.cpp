#include "rahf/reward/data/consolidate.h"

#include <set>

#include "rahf/core/error.h"
#include "reward/dataset_folder.h"
#include "support/catch.h"

using namespace rahf::reward;
using rahf::FileError;
using rahf::io::Hdf5File;
namespace fs = std::filesystem;

namespace {

/// The marked pixels as (row, column).
std::set<std::pair<std::int64_t, std::int64_t>> marked(const torch::Tensor& map) {
  std::set<std::pair<std::int64_t, std::int64_t>> places;
  for (std::int64_t i = 0; i < map.size(0); ++i) {
    for (std::int64_t j = 0; j < map.size(1); ++j) {
      if (map[i][j].item<int>() != 0) places.emplace(i, j);
    }
  }
  return places;
}

/// A folder of pictures and the annotations of them, line by line.
struct Input {
  ScratchFolder folder;
  std::vector<std::string> lines;

  void picture(const std::string& name, std::int64_t height, std::int64_t width) {
    rahf::io::write_image(folder / "pictures" / name, counting_picture(height, width));
  }
  void record(const Annotation& annotation) { lines.push_back(write_annotation(annotation)); }

  ConsolidateOptions options(const std::string& out = "out.h5") const {
    std::ofstream file(folder / "annotations.jsonl");
    for (const auto& line : lines) file << line << '\n';
    ConsolidateOptions options;
    options.annotations = (folder / "annotations.jsonl").string();
    options.pictures = (folder / "pictures").string();
    options.out = (folder / out).string();
    return options;
  }
};

/// Six pictures of 20 x 20 with one to three annotators each, their records shuffled.
struct SmallInput : Input {
  SmallInput() {
    for (int i = 0; i < 6; ++i) picture(std::to_string(i) + ".png", 20, 20);
    for (int who = 0; who < 3; ++who) {
      for (int i = 5; i >= 0; --i) {
        if (who > i % 3) continue;
        auto said = feedback(std::to_string(i) + ".png", "a cat number " + std::to_string(i),
                             std::to_string(who), 1 + (i + who) % 5);
        said.implausible_points = {{i + 0.5, who + 2.5}};
        said.misaligned_words = {3};
        record(said);
      }
    }
  }
};

}  // namespace

TEST_CASE("annotator_map marks the pixels whose centre is in a click's disk",
          "[reward][consolidate]") {
  SECTION("radius H / 20 = 2 around a pixel's centre, the edge included") {
    const auto map = annotator_map({{10.5, 20.5}}, 40, 80);
    REQUIRE(map.sizes() == torch::IntArrayRef{40, 80});
    CHECK(map.dtype() == torch::kByte);
    CHECK(marked(map) == decltype(marked(map)){{18, 10},
                                               {19, 9},
                                               {19, 10},
                                               {19, 11},
                                               {20, 8},
                                               {20, 9},
                                               {20, 10},
                                               {20, 11},
                                               {20, 12},
                                               {21, 9},
                                               {21, 10},
                                               {21, 11},
                                               {22, 10}});
  }
  SECTION("what lies outside the picture is cut off") {
    CHECK(marked(annotator_map({{0, 0}}, 40, 80)) == decltype(marked({})){{0, 0}, {0, 1}, {1, 0}});
    CHECK(marked(annotator_map({{80, 40}}, 40, 80)) ==
          decltype(marked({})){{39, 79}, {39, 78}, {38, 79}});
  }
  SECTION("a disk between the centres of pixels marks the pixel that was clicked") {
    CHECK(marked(annotator_map({{3.95, 2.05}}, 8, 8)) == decltype(marked({})){{2, 3}});
  }
  SECTION("nothing where nobody clicked") { CHECK(annotator_map({}, 5, 6).sum().item<int>() == 0); }
}

TEST_CASE("annotator_map takes the union of disks, whatever their order", "[reward][consolidate]") {
  const Point a{10, 11}, b{12, 11}, c{30.2, 5};
  const auto both = annotator_map({a, b, a, c}, 40, 40);
  CHECK(both.equal(annotator_map({c, b, a}, 40, 40)));
  CHECK(both.max().item<int>() == 1);
  CHECK(both.equal(annotator_map({a}, 40, 40) | annotator_map({b}, 40, 40) |
                   annotator_map({c}, 40, 40)));
}

TEST_CASE("annotator_map moves with the click", "[reward][consolidate]") {
  const auto size = GENERATE(64, 100, 333);
  const auto here = annotator_map({{20.3, 21.9}}, size, size);
  const auto there = annotator_map({{25.3, 28.9}}, size, size);
  CHECK(there.equal(here.roll({7, 5}, {0, 1})));
  // Area of the disk, up to the pixels on its edge.
  const double radius = size / 20.0;
  CHECK(std::abs(here.sum().item<double>() - M_PI * radius * radius) < 2 * M_PI * radius);
}

TEST_CASE("annotator_map marks pixels whose centre lies on the edge, in decimal fractions too",
          "[reward][consolidate]") {
  // Of 64 rows the radius is 3.2: the centre (39.5, 41.5) is that far from the click.
  const auto map = annotator_map({{42.7, 41.5}}, 64, 64);
  CHECK(map[41][39].item<int>() == 1);
  CHECK(map[41][38].item<int>() == 0);
  CHECK(map[40][39].item<int>() == 0);
}

TEST_CASE("consolidate takes means over annotators, and the majority for words",
          "[reward][consolidate]") {
  std::vector<Annotation> said;
  for (const char* who : {"a", "b", "c"}) said.push_back(feedback("x.png", "one two", who, 1));
  said[0].scores = {5, 1, 2, 3};
  said[1].scores = {5, 1, 3, 3};
  said[2].scores = {5, 1, 3, 5};
  said[0].implausible_points = {{2.5, 2.5}};
  said[1].implausible_points = {{2.5, 2.5}, {8.5, 8.5}};
  said[2].implausible_points = {{2.5, 2.5}};
  said[1].misaligned_points = {{4.5, 4.5}};
  said[0].misaligned_words = {0};
  said[1].misaligned_words = {1, 1, 0};
  const auto all = consolidate(said, 10, 10);
  CHECK(all.scores[0] == 1.0f);
  CHECK(all.scores[1] == 0.0f);
  CHECK(all.scores[2] == Approx(5.0 / 12));
  CHECK(all.scores[3] == Approx(2.0 / 3));
  CHECK(all.implausibility[2][2].item<int>() == 255);
  CHECK(all.implausibility[8][8].item<int>() == 85);
  CHECK(all.implausibility.sum().item<int>() == 255 + 85);
  CHECK(all.misalignment[4][4].item<int>() == 85);
  CHECK(all.misaligned_words == std::vector<std::uint8_t>{1, 0});

  SECTION("in any order") {
    std::swap(said[0], said[2]);
    const auto again = consolidate(said, 10, 10);
    CHECK(again.scores == all.scores);
    CHECK(again.implausibility.equal(all.implausibility));
    CHECK(again.misaligned_words == all.misaligned_words);
  }
  SECTION("one of two is no majority, and a half rounds up") {
    const auto two = consolidate({said[0], said[2]}, 10, 10);
    CHECK(two.misaligned_words == std::vector<std::uint8_t>{0, 0});
    const auto halves = consolidate({said[1], said[2]}, 10, 10);
    CHECK(halves.implausibility[8][8].item<int>() == 128);
  }
  SECTION("of one annotator is what that one said") {
    const auto one = consolidate({said[1]}, 10, 10);
    CHECK(one.scores == std::array<float, 4>{1, 0, 0.5, 0.5});
    CHECK(one.misaligned_words == std::vector<std::uint8_t>{1, 1});
    CHECK(one.misalignment.equal(annotator_map(said[1].misaligned_points, 10, 10) * 255));
  }
  SECTION("needs an annotator") {
    REQUIRE_THROWS_MATCHES(consolidate(std::vector<Annotation>{}, 10, 10), rahf::Error,
                           Says("one annotation at least is needed, got none"));
  }
}

TEST_CASE("consolidate makes a dataset of files", "[reward][consolidate]") {
  SmallInput input;
  const auto report = consolidate(input.options());
  CHECK(report.written);
  CHECK(report.pictures == 6);
  CHECK(report.records == 12);
  CHECK(report.map_size == 20);
  CHECK(report.problems.empty());
  const Dataset dataset({input.folder / "out.h5"});
  REQUIRE(dataset.size() == 6);
  for (std::int64_t at = 0; at < 6; ++at) {
    const auto i = 5 - at;  // As the file names them.
    const auto sample = dataset.at(at);
    CHECK(sample.image == std::to_string(i) + ".png");
    CHECK(sample.prompt == "a cat number " + std::to_string(i));
    CHECK(sample.picture == counting_picture(20, 20));
    const auto said = dataset.annotations(at);
    REQUIRE(std::ssize(said) == 1 + i % 3);
    const auto expected = consolidate(said, 20, 20);
    CHECK(sample.scores == expected.scores);
    CHECK(sample.implausibility.equal(expected.implausibility));
    CHECK(sample.implausibility.max().item<int>() > 0);
    CHECK(sample.misaligned_words == std::vector<std::uint8_t>{0, 0, 0, 1});
  }
}

TEST_CASE("consolidate chooses the heatmaps' size", "[reward][consolidate]") {
  Input input;
  input.picture("wide.png", 40, 80);
  input.record(feedback("wide.png", "a", "ann", 3));
  auto said = feedback("wide.png", "a", "bob", 3);
  said.implausible_points = {{60, 20}};
  input.record(said);
  auto options = input.options();
  SECTION("512 if a picture is not square") { CHECK(consolidate(options).map_size == 512); }
  SECTION("512 if pictures differ") {
    input.picture("square.png", 40, 40);
    input.record(feedback("square.png", "a", "ann", 3));
    CHECK(consolidate(input.options()).map_size == 512);
  }
  SECTION("as the option says, with the same places marked") {
    options.map_size = 40;
    CHECK(consolidate(options).map_size == 40);
    const auto map = Dataset({options.out}).map(0, 0).to(torch::kDouble);
    REQUIRE(map.sizes() == torch::IntArrayRef{40, 40});
    const auto whole = consolidate({feedback("", "a", "ann", 3), said}, 40, 80);
    CHECK(map.mean().item<double>() ==
          Approx(whole.implausibility.to(torch::kDouble).mean().item<double>()).epsilon(0.02));
    const auto columns = map.sum(0);
    CHECK(columns.argmax().item<int>() >= 29);
    CHECK(columns.argmax().item<int>() <= 30);
  }
}

TEST_CASE("consolidate puts no prompt in two splits", "[reward][consolidate][split]") {
  Input input;
  for (int i = 0; i < 40; ++i) {
    const auto name = std::to_string(i) + ".png";
    input.picture(name, 8, 8);
    input.record(feedback(name, "prompt " + std::to_string(i / 4), "ann", 3));
  }
  auto options = input.options();
  options.dev_share = 0.3;
  options.test_share = 0.3;
  REQUIRE(consolidate(options).written);
  const Dataset dataset({options.out});
  std::size_t total = 0;
  std::set<std::string> prompts;
  for (const auto name : kSplitNames) {
    const auto rows = dataset.indices(name);
    CHECK_FALSE(rows.empty());
    std::set<std::string> own;
    for (const auto row : rows) own.insert(dataset.prompt(row));
    total += own.size();
    prompts.merge(own);
  }
  CHECK(total == 10);
  CHECK(prompts.size() == 10);
}

TEST_CASE("consolidate reports each bad record with file, line and reason",
          "[reward][consolidate][errors]") {
  SmallInput input;
  const auto good = std::ssize(input.lines);
  std::ofstream(input.folder / "pictures/broken.png") << "\x89PNG no more";
  const auto add = [&](const std::function<void(Annotation&)>& spoil) {
    auto said = feedback("0.png", "a cat number 0", "new", 3);
    spoil(said);
    input.record(said);
  };
  add([](auto& said) { said.image = "9.png"; });
  add([](auto& said) { said.implausible_points = {{20, 3}}; });
  add([](auto& said) { said.scores[2] = 6; });
  add([](auto& said) { said.misaligned_words = {4}; });
  add([](auto& said) { said.annotator = "0"; });
  add([](auto& said) {
    said.image = "./0.png";
    said.annotator = "0";
  });
  add([](auto& said) { said.prompt = "a dog"; });
  add([](auto& said) { said.image = "broken.png"; });
  add([](auto& said) { said.image = "../pictures/0.png"; });
  input.lines.push_back("{\"image\": ");
  const std::vector<std::string> reasons = {
      "unknown picture: there is no file",
      "a click must lie inside the picture of 20 x 20 pixels, got [20, 3]",
      "score aesthetics must be a whole number from 1 to 5, got 6",
      "indices below 4, the number of the prompt's words, got 4",
      "annotator '0' has judged picture '0.png' already, in line 6",
      "annotator '0' has judged picture './0.png' already, in line 6",
      "the prompt of picture '0.png' must be that of line 6, got 'a dog'",
      "broken.png",
      "image must be a path below the folder of pictures, got '../pictures/0.png'",
      "broken JSON"};

  auto options = input.options();
  options.skip_bad = GENERATE(false, true);
  const auto report = consolidate(options);
  REQUIRE(report.problems.size() == reasons.size());
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    CAPTURE(report.problems[i].reason);
    CHECK(report.problems[i].line == good + 1 + static_cast<std::int64_t>(i));
    CHECK(report.problems[i].reason.find(reasons[i]) != std::string::npos);
    CHECK(report.problems[i].text().starts_with(options.annotations + ":"));
  }
  CHECK(report.written == options.skip_bad);
  CHECK(fs::exists(options.out) == options.skip_bad);
  CHECK_FALSE(fs::exists(options.out + ".partial"));
  if (options.skip_bad) {
    CHECK(report.records == good);
    CHECK(Dataset({options.out}).size() == 6);
  }
}

TEST_CASE("consolidate refuses input without a good record", "[reward][consolidate][errors]") {
  Input input;
  auto options = input.options();
  options.skip_bad = true;
  REQUIRE_THROWS_MATCHES(consolidate(options), FileError,
                         Says("must hold one good record at least, got none"));
  options.annotations = "/none.jsonl";
  REQUIRE_THROWS_MATCHES(consolidate(options), FileError, Says("/none.jsonl: cannot be opened"));
  options.dev_share = 0.6;
  options.test_share = 0.6;
  REQUIRE_THROWS_MATCHES(consolidate(options), rahf::ConfigError,
                         Says("together must be at most 1"));
}

TEST_CASE("consolidate goes on where an interrupted call stopped",
          "[reward][consolidate][resume]") {
  SmallInput input;
  const auto whole = input.options("whole.h5");
  REQUIRE(consolidate(whole).continued_at == 0);
  const auto options = input.options("out.h5");
  const fs::path part = options.out + ".partial/000000000.h5";
  fs::create_directories(part.parent_path());
  fs::copy_file(whole.out, part);
  for (const char* table : {"image", "prompt", "picture", "size", "scores", "implausibility",
                            "misalignment", "misaligned_words", "annotations", "split"}) {
    Hdf5File(part, Hdf5File::Mode::kAppend).truncate(table, 2);
  }
  SECTION("with the same input") {
    const auto report = consolidate(options);
    CHECK(report.continued_at == 2);
    CHECK(report.pictures == 6);
    const Dataset expected({whole.out}), dataset({options.out});
    REQUIRE(dataset.size() == 6);
    for (std::int64_t i = 0; i < 6; ++i) {
      CHECK(dataset.image(i) == expected.image(i));
      CHECK(dataset.scores(i) == expected.scores(i));
      CHECK(dataset.map(0, i).equal(expected.map(0, i)));
      CHECK((dataset.annotations(i) == expected.annotations(i)));
    }
  }
  SECTION("but begins anew with another option or other annotations") {
    auto other = options;
    if (GENERATE(true, false)) {
      other.test_share = 0.5;
    } else {
      input.lines.pop_back();
      input.options();
    }
    CHECK(consolidate(other).continued_at == 0);
    CHECK(Dataset({options.out}).size() == 6);
  }
}
