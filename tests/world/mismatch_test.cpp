#include "rahf/world/mismatch.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "support/catch.h"

using namespace rahf::world;

namespace {

/// "two small red circles above a large blue star"
Description two_groups() {
  Description asked;
  asked.first = {2, Size::kSmall, Colour::kRed, Shape::kCircle};
  asked.second = Group{1, Size::kLarge, Colour::kBlue, Shape::kStar};
  return asked;
}

/// "three small red circles"
Description one_group() {
  Description asked;
  asked.first = {3, Size::kSmall, Colour::kRed, Shape::kCircle};
  return asked;
}

Depiction depicted(const Description& asked, const std::vector<Mismatch>& kinds,
                   std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  for (;;) {
    if (auto depiction = depict(asked, kinds, engine)) return *depiction;
  }
}

/// One letter per word: none, colour, shape, size, count, relation, missing.
std::string word_errors(const Depiction& shown) {
  std::string letters;
  for (const auto error : shown.words) letters += ".csznrm"[static_cast<int>(error)];
  return letters;
}

}  // namespace

TEST_CASE("depict without mismatches shows what is asked for", "[world][mismatch]") {
  const auto shown = depicted(two_groups(), {}, 1);
  REQUIRE(shown.scene.objects.size() == 3);
  CHECK(shown.alignment == 1);
  CHECK(word_errors(shown) == ".........");
  CHECK(shown.concerned == std::vector<bool>(3, false));
  CHECK(shown.scene.objects[0].colour == Colour::kRed);
  CHECK(shown.scene.objects[2].shape == Shape::kStar);
  CHECK(relation_holds(shown.scene, Relation::kAbove));
}

TEST_CASE("depict changes one attribute of all objects of one group", "[world][mismatch]") {
  const std::uint64_t seed = GENERATE(range(1, 20));
  const auto asked = one_group();

  SECTION("colour") {
    const auto shown = depicted(asked, {Mismatch::kColour}, seed);
    CHECK(word_errors(shown) == "..c.");
    CHECK(shown.alignment == Approx(0.5));
    for (const auto& object : shown.scene.objects) {
      CHECK(object.colour != Colour::kRed);
      CHECK(object.colour == shown.scene.objects[0].colour);
      CHECK(object.shape == Shape::kCircle);
    }
    CHECK(shown.concerned == std::vector<bool>(3, true));
  }
  SECTION("shape") {
    const auto shown = depicted(asked, {Mismatch::kShape}, seed);
    CHECK(word_errors(shown) == "...s");
    CHECK(shown.alignment == Approx(0.45));
    for (const auto& object : shown.scene.objects) {
      CHECK(object.shape != Shape::kCircle);
      CHECK(object.colour == Colour::kRed);
    }
  }
  SECTION("size") {
    const auto shown = depicted(asked, {Mismatch::kSize}, seed);
    CHECK(word_errors(shown) == ".z..");
    CHECK(shown.alignment == Approx(0.7));
    for (const auto& object : shown.scene.objects) CHECK(object.size == Size::kLarge);
  }
  SECTION("count") {
    const auto shown = depicted(asked, {Mismatch::kCount}, seed);
    CHECK(word_errors(shown) == "n...");
    const auto count = shown.scene.objects.size();
    REQUIRE((count == 1 || count == 2));
    CHECK(shown.alignment == Approx(count == 2 ? 0.7 : 0.55));
    CHECK(shown.concerned == std::vector<bool>(count, true));
  }
  SECTION("colour and shape") {
    const auto shown = depicted(asked, {Mismatch::kColour, Mismatch::kShape}, seed);
    CHECK(word_errors(shown) == "..cs");
    CHECK(shown.alignment == Approx(0.5 * 0.45));
  }
}

TEST_CASE("depict concerns only the changed group of two", "[world][mismatch]") {
  const std::uint64_t seed = GENERATE(range(1, 20));
  const auto shown = depicted(two_groups(), {Mismatch::kColour}, seed);
  const bool first = shown.concerned[0];
  CHECK(shown.concerned == std::vector{first, first, !first});
  std::string words(9, '.');
  words[first ? 2 : 7] = 'c';
  CHECK(word_errors(shown) == words);
  CHECK(shown.alignment == Approx(1 - 0.8 * 0.5));
  for (const auto& object : shown.scene.objects) {
    const auto asked = object.group == 0 ? Colour::kRed : Colour::kBlue;
    CHECK((object.colour == asked) == ((object.group == 0) != first));
  }
}

TEST_CASE("depict with a wrong relation shows one that denies it", "[world][mismatch]") {
  const std::uint64_t seed = GENERATE(range(1, 20));
  auto asked = two_groups();
  const bool sideways = GENERATE(false, true);
  if (sideways) asked.relation = Relation::kLeftOf;
  const auto shown = depicted(asked, {Mismatch::kRelation}, seed);
  CHECK(relation_offset(shown.scene, asked.relation) <= 0);
  CHECK(shown.concerned == std::vector<bool>(3, true));
  std::string words(sideways ? 10 : 9, '.');
  words[4] = 'r';
  if (sideways) words[5] = 'r';
  CHECK(word_errors(shown) == words);
  CHECK(shown.alignment == Approx(0.4));
}

TEST_CASE("depict with a missing group blames its colour and shape, and no place",
          "[world][mismatch]") {
  const std::uint64_t seed = GENERATE(range(1, 10));
  const auto shown = depicted(two_groups(), {Mismatch::kMissing}, seed);
  const bool first_missing = shown.scene.objects[0].group == 1;
  CHECK(shown.scene.objects.size() == (first_missing ? 1 : 2));
  std::string words(9, '.');
  words[first_missing ? 2 : 7] = words[first_missing ? 3 : 8] = 'm';
  CHECK(word_errors(shown) == words);
  CHECK(std::count(shown.concerned.begin(), shown.concerned.end(), true) == 0);
  CHECK(shown.alignment == Approx(0.3));
}

TEST_CASE("depict with an extra object blames no word and one place", "[world][mismatch]") {
  const std::uint64_t seed = GENERATE(range(1, 10));
  const auto shown = depicted(two_groups(), {Mismatch::kExtra}, seed);
  REQUIRE(shown.scene.objects.size() == 4);
  CHECK(shown.concerned == std::vector{false, false, false, true});
  CHECK(shown.scene.objects[3].colour != Colour::kRed);
  CHECK(shown.scene.objects[3].colour != Colour::kBlue);
  CHECK(word_errors(shown) == ".........");
  CHECK(shown.alignment == Approx(0.65));
}

TEST_CASE("random_mismatches draws all kinds about equally often", "[world][mismatch]") {
  std::mt19937_64 engine(7);
  std::map<Mismatch, int> seen;
  int all = 0, pairs = 0;
  constexpr int kDraws = 7000;
  for (int i = 0; i < kDraws; ++i) {
    const auto asked = random_description(engine, 0.65);
    const auto kinds = random_mismatches(asked, 0.65, engine);
    for (const auto kind : kinds) ++seen[kind], ++all;
    pairs += kinds.size() == 2;
    if (kinds.size() == 2) REQUIRE(kinds[0] != kinds[1]);
    const auto has = [&](Mismatch kind) {
      return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
    };
    if (has(Mismatch::kRelation) || has(Mismatch::kMissing)) REQUIRE(asked.second);
    REQUIRE_FALSE((has(Mismatch::kMissing) && has(Mismatch::kRelation)));
  }
  CHECK(pairs == Approx(kDraws / 4).epsilon(0.1));
  for (const auto& [kind, count] : seen) {
    INFO(name(kind));
    CHECK(count == Approx(all / 7.0).epsilon(0.25));
  }
  CHECK(seen.size() == 7);
}
