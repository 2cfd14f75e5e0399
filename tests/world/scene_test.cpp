#include "rahf/world/scene.h"

#include <random>

#include "support/catch.h"

using namespace rahf::world;

TEST_CASE("lay_out keeps margins and the relation asked for", "[world][scene]") {
  std::mt19937_64 engine(1);
  for (int i = 0; i < 3000; ++i) {
    const auto description = random_description(engine, 0.65);
    const auto scene = lay_out(description, engine);
    REQUIRE(scene);
    REQUIRE(well_spaced(*scene));
    std::int64_t expected = description.first.count;
    if (description.second) expected += description.second->count;
    REQUIRE(static_cast<std::int64_t>(scene->objects.size()) == expected);
    if (!description.second) continue;
    REQUIRE(relation_holds(*scene, description.relation));
    REQUIRE_FALSE(relation_holds(*scene, opposite(description.relation)));
    // Each object of one group is beyond each of the other.
    const auto way = direction(description.relation);
    for (const auto& a : scene->objects) {
      for (const auto& b : scene->objects) {
        if (a.group != 0 || b.group != 1) continue;
        const double gap = (a.x - b.x) * way[0] + (a.y - b.y) * way[1];
        REQUIRE(gap >= kReach * (a.radius() + b.radius()) + kMargin - 1e-9);
      }
    }
  }
}

TEST_CASE("lay_out finds room for the fullest scenes", "[world][scene]") {
  std::mt19937_64 engine(5);
  Description description;
  description.first = {3, Size::kLarge, Colour::kRed, Shape::kCircle};
  description.relation = GENERATE(Relation::kAbove, Relation::kBelow, Relation::kLeftOf);
  const auto [count, size] = GENERATE(std::pair{1, Size::kLarge}, std::pair{3, Size::kSmall});
  description.second = Group{count, size, Colour::kBlue, Shape::kStar};
  for (int i = 0; i < 500; ++i) REQUIRE(lay_out(description, engine));
}

TEST_CASE("lay_out finds room for an extra object", "[world][scene]") {
  std::mt19937_64 engine(2);
  int placed = 0;
  for (int i = 0; i < 200; ++i) {
    const auto description = random_description(engine, 0.65);
    const auto scene = lay_out(description, engine, Object{Shape::kStar, Colour::kCyan});
    if (!scene) continue;
    ++placed;
    CHECK(well_spaced(*scene));
    CHECK(scene->objects.back().group == Object::kExtra);
    if (description.second) CHECK(relation_holds(*scene, description.relation));
  }
  CHECK(placed > 190);
}

TEST_CASE("lay_out gives up on what cannot fit", "[world][scene]") {
  std::mt19937_64 engine(3);
  Description description;
  description.first = {9, Size::kLarge, Colour::kRed, Shape::kCircle};
  CHECK_FALSE(lay_out(description, engine));
}

TEST_CASE("relation_offset is the centroids' distance along the relation", "[world][scene]") {
  Scene scene;
  scene.objects = {{Shape::kCircle, Colour::kRed, Size::kSmall, 0.2, 0.3, 0},
                   {Shape::kCircle, Colour::kRed, Size::kSmall, 0.4, 0.3, 0},
                   {Shape::kStar, Colour::kBlue, Size::kSmall, 0.8, 0.7, 1}};
  CHECK(relation_offset(scene, Relation::kAbove) == Approx(0.4));
  CHECK(relation_offset(scene, Relation::kBelow) == Approx(-0.4));
  CHECK(relation_offset(scene, Relation::kLeftOf) == Approx(0.5));
  CHECK(relation_offset(scene, Relation::kRightOf) == Approx(-0.5));

  SECTION("an extra object does not count") {
    scene.objects.push_back({Shape::kStar, Colour::kCyan, Size::kSmall, 0.1, 0.1, Object::kExtra});
    CHECK(relation_offset(scene, Relation::kAbove) == Approx(0.4));
  }
  SECTION("there is none to a group that is not there") {
    scene.objects.pop_back();
    CHECK(relation_offset(scene, Relation::kAbove) == 0);
  }
}

TEST_CASE("random_description gives groups of different colours that fit", "[world][scene]") {
  std::mt19937_64 engine(4);
  int two = 0;
  for (int i = 0; i < 2000; ++i) {
    const auto description = random_description(engine, 0.65);
    if (!description.second) continue;
    ++two;
    std::int64_t large = 0;
    for (const auto& group : {description.first, *description.second}) {
      if (group.size == Size::kLarge) large += group.count;
    }
    REQUIRE(large <= kMaxLarge);
    REQUIRE(description.first.colour != description.second->colour);
  }
  CHECK(two > 1200);
  CHECK(two < 1400);
}
