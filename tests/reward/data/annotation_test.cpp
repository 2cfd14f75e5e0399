#include "rahf/reward/data/annotation.h"

#include <fstream>

#include "support/broken_files.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf::reward;
using rahf::FileError;

namespace {

const Annotation kExample{.image = "a/1.png",
                          .prompt = "A red cat, \"asleep\" - möglich",
                          .annotator = "ann",
                          .implausible_points = {{1, 2}, {3.25, 0}},
                          .misaligned_points = {},
                          .misaligned_words = {1, 4},
                          .scores = {4, 2, 3, 5}};

/// A good record with one part replaced.
std::string with(const std::string& part, const std::string& by) {
  std::string json =
      R"({"image": "a.png", "prompt": "a cat", "annotator": "ann", "implausible_points": [[1, 2]],)"
      R"( "misaligned_points": [], "misaligned_words": [1], "scores": {"plausibility": 4,)"
      R"( "alignment": 2, "aesthetics": 3, "overall": 3}})";
  const auto at = json.find(part);
  REQUIRE(at != std::string::npos);
  return json.replace(at, part.size(), by);
}

}  // namespace

TEST_CASE("parse_annotation reads what write_annotation wrote", "[reward][annotation]") {
  CHECK(parse_annotation(write_annotation(kExample)) == kExample);
  CHECK(write_annotation(kExample).find('\n') == std::string::npos);
}

TEST_CASE("parse_annotation reads a record field by field", "[reward][annotation]") {
  const auto read = parse_annotation(with("a cat", "a cat"));
  CHECK(read.image == "a.png");
  CHECK(read.prompt == "a cat");
  CHECK(read.annotator == "ann");
  CHECK((read.implausible_points == std::vector<Point>{{1, 2}}));
  CHECK(read.misaligned_points.empty());
  CHECK(read.misaligned_words == std::vector<std::int64_t>{1});
  CHECK(read.scores == std::array<std::int64_t, 4>{4, 2, 3, 3});
}

TEST_CASE("parse_annotation says what is wrong with a record", "[reward][annotation][errors]") {
  struct Case {
    const char *part, *by, *says;
  };
  const auto bad = GENERATE(
      Case{R"("scores")", R"("scores)", "broken JSON"},
      Case{R"("image": "a.png")", R"("image": "a.png", "mood": 1)", "unknown key 'mood'"},
      Case{R"("annotator": "ann", )", "", "the record has no 'annotator'"},
      Case{R"("a.png")", "3", "image must be a text that is not empty, got 3"},
      Case{R"("ann")", R"("")", "annotator must be a text that is not empty"},
      Case{R"("ann")", R"("a\u0000")", "annotator must not hold a NUL"},
      Case{"[[1, 2]]", "[1, 2]", "implausible_points must hold [x, y] in pixels, got 1"},
      Case{"[[1, 2]]", "[[1, 2, 3]]", "implausible_points must hold [x, y]"},
      Case{"[[1, 2]]", R"([["1", 2]])", "implausible_points must hold [x, y]"},
      Case{"[[1, 2]]", "7", "implausible_points must be a list of [x, y], got 7"},
      Case{"[1]", "[2]", "indices below 2, the number of the prompt's words, got 2"},
      Case{"[1]", "[-1]", "got -1"}, Case{"[1]", "[0.5]", "got 0.5"},
      Case{"[1]", "[18446744073709551615]", "got 18446744073709551615"},
      Case{"[1]", "[1, 0, 1]", "misaligned_words must name each word once, got 1 again"},
      Case{R"("image": "a.png")", R"("image": "a.png", "image": "b.png")",
           R"(key "image" is given twice)"},
      Case{R"("overall": 3)", R"("overall": 3, "overall": 4)", R"(key "overall" is given twice)"},
      Case{"[1]", "1", "misaligned_words must be a list of indices, got 1"},
      Case{": 4", ": 6", "score plausibility must be a whole number from 1 to 5, got 6"},
      Case{": 4", ": 0", "got 0"}, Case{": 4", ": 4.5", "got 4.5"},
      Case{": 4", R"(: "4")", "got \"4\""}, Case{R"("alignment": 2, )", "", "has no alignment"},
      Case{R"("overall": 3)", R"("overall": 3, "fun": 5)", "unknown score 'fun'"});
  CAPTURE(bad.by);
  REQUIRE_THROWS_MATCHES(parse_annotation(with(bad.part, bad.by)), FileError, Says(bad.says));
}

TEST_CASE("parse_annotation survives any broken record", "[reward][annotation][errors]") {
  const auto json = write_annotation(kExample);
  const auto read = [](const std::string& broken, std::size_t) {
    try {
      parse_annotation(broken);
    } catch (const FileError&) {
    }
  };
  CHECK_NOTHROW(for_each_bit_flip(json, read));
  for_each_prefix(json, [](const std::string& broken, std::size_t) {
    CHECK_THROWS_AS(parse_annotation(broken), FileError);
  });
}

TEST_CASE("check_points takes clicks in [0, width) x [0, height) only", "[reward][annotation]") {
  const auto inside = GENERATE(Point{0, 0}, Point{29.99, 19.99}, Point{29, 0.5});
  const auto outside = GENERATE(Point{30, 0}, Point{0, 20}, Point{-0.01, 5}, Point{5, -1e9});
  Annotation annotation = kExample;
  annotation.implausible_points = {inside};
  annotation.misaligned_points = {inside};
  CHECK_NOTHROW(check_points(annotation, 20, 30));
  annotation.misaligned_points.push_back(outside);
  REQUIRE_THROWS_MATCHES(
      check_points(annotation, 20, 30), FileError,
      Says("misaligned_points: a click must lie inside the picture of 30 x 20 pixels, got ["));
}

TEST_CASE("parse_annotations reads a picture's records back", "[reward][annotation]") {
  auto other = kExample;
  other.annotator = "bob";
  other.misaligned_words.clear();
  const std::vector<Annotation> both = {kExample, other};
  CHECK((parse_annotations(write_annotations(both), kExample.image, kExample.prompt) == both));
  CHECK(parse_annotations("[]", "a", "b").empty());
  REQUIRE_THROWS_MATCHES(parse_annotations("[", "a", "b"), FileError,
                         Says("raw annotations of 'a'"));
}

TEST_CASE("LineReader gives lines with their numbers and places", "[reward][annotation]") {
  const ScratchFolder folder;
  std::ofstream(folder / "lines") << "one\n\n  \nfour\r\nfive";
  LineReader reader(folder / "lines");
  auto lines = reader.read(2);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].text == "one\n");
  CHECK(lines[0].number == 1);
  CHECK(lines[1].number == 4);
  CHECK(lines[1].offset == 8);
  lines = reader.read(2);
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].text == "five");
  CHECK(reader.read(2).empty());
  CHECK(reader.bytes() == 18);

  LineReader again(folder / "lines");
  again.read(100);
  CHECK(again.hash() == reader.hash());
  std::ofstream(folder / "lines", std::ios::app) << '.';
  LineReader changed(folder / "lines");
  changed.read(100);
  CHECK(changed.hash() != reader.hash());
  CHECK_THROWS_AS(LineReader(folder / "none"), FileError);
  CHECK_THROWS_AS(LineReader(folder.path()), FileError);
}
