#include "rahf/world/picture.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "rahf/core/error.h"
#include "rahf/core/words.h"
#include "support/catch.h"

using namespace rahf::world;
using rahf::Randomness;

TEST_CASE("draw_picture gives the same picture whatever was drawn before", "[world][picture]") {
  const Randomness random(5);
  const auto alone = draw_picture({}, random, 41);
  for (int i = 0; i < 5; ++i) draw_picture({}, random, i);
  const auto later = draw_picture({}, random, 41);
  CHECK(alone.image == later.image);
  CHECK(alone.prompt == later.prompt);
  CHECK(alone.truth.scores == later.truth.scores);
  REQUIRE(alone.annotations.size() == later.annotations.size());
  for (std::size_t i = 0; i < alone.annotations.size(); ++i) {
    CHECK(alone.annotations[i].scores == later.annotations[i].scores);
    CHECK((alone.annotations[i].implausible_points == later.annotations[i].implausible_points));
  }
  CHECK_FALSE(alone.image == draw_picture({}, random, 42).image);
  CHECK_FALSE(alone.image == draw_picture({}, Randomness(6), 41).image);
}

TEST_CASE("draw_picture agrees with itself", "[world][picture]") {
  const Randomness random(6);
  int flawed = 0, mismatched = 0, both = 0;
  constexpr int kPictures = 800;
  for (int i = 0; i < kPictures; ++i) {
    const auto picture = draw_picture({}, random, i);
    const auto& truth = picture.truth;
    REQUIRE((parse_caption(picture.prompt) == picture.asked));
    REQUIRE(truth.words.size() == rahf::split_words(picture.prompt).size());
    for (const auto score : truth.scores) REQUIRE((score >= 0 && score <= 1));
    const bool has_flaw = !truth.flaws.empty(), has_mismatch = !truth.mismatches.empty();
    flawed += has_flaw;
    mismatched += has_mismatch;
    both += has_flaw && has_mismatch;
    REQUIRE((truth.scores[0] < 1) == has_flaw);
    REQUIRE((truth.scores[1] < 1) == has_mismatch);
    const auto marked = [](const Mask& mask) { return std::count(mask.begin(), mask.end(), 255); };
    REQUIRE((marked(truth.implausibility) > 0) == has_flaw);
    const bool only_missing =
        truth.mismatches.size() == 1 && truth.mismatches[0] == Mismatch::kMissing;
    REQUIRE((marked(truth.misalignment) > 0) == (has_mismatch && !only_missing));
    REQUIRE(well_spaced(picture.shown));
    REQUIRE(picture.annotations.size() == 3);
    std::set<std::string> people;
    for (const auto& said : picture.annotations) {
      people.insert(said.annotator);
      for (const auto score : said.scores) REQUIRE((score >= 1 && score <= 5));
      for (const auto index : said.misaligned_words) {
        REQUIRE(index < static_cast<std::int64_t>(truth.words.size()));
      }
      for (const auto* points : {&said.implausible_points, &said.misaligned_points}) {
        for (const auto& [x, y] : *points) REQUIRE((x >= 0 && x < 64 && y >= 0 && y < 64));
      }
    }
    REQUIRE(people.size() == 3);
  }
  CHECK(flawed == Approx(kPictures / 2).epsilon(0.12));
  CHECK(mismatched == Approx(kPictures / 2).epsilon(0.12));
  CHECK(both == Approx(kPictures / 4).epsilon(0.2));
}

TEST_CASE("draw_picture without flaws and mismatches draws the scene as it is",
          "[world][picture]") {
  const WorldOptions options{
      .size = GENERATE(32, 64, 256), .flawed_share = 0, .mismatched_share = 0, .annotators = 0};
  for (int i = 0; i < 10; ++i) {
    const auto picture = draw_picture(options, Randomness(7), i);
    CHECK(picture.image == render(picture.shown, options.size));
    CHECK(picture.truth.scores[0] == 1);
    CHECK(picture.truth.scores[1] == 1);
    CHECK(picture.annotations.empty());
  }
}

TEST_CASE("WorldOptions says which option is out of range", "[world][picture][errors]") {
  CHECK_NOTHROW(WorldOptions{}.validate());
  CHECK_THROWS_MATCHES(WorldOptions{.size = 16}.validate(), rahf::ConfigError,
                       Says("size must be in [32, 256], got 16"));
  CHECK_THROWS_MATCHES(WorldOptions{.flawed_share = 1.5}.validate(), rahf::ConfigError,
                       Says("flawed-share must be in [0, 1], got 1.5"));
  CHECK_THROWS_MATCHES(WorldOptions{.annotators = 28}.validate(), rahf::ConfigError,
                       Says("annotators must be in [0, 27], got 28"));
}
