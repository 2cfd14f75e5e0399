#include "rahf/world/truth.h"

#include <cmath>

#include "support/catch.h"

using namespace rahf::world;

TEST_CASE("aesthetics weighs balance, colours and air", "[world][truth]") {
  Scene scene;
  SECTION("one cyan object in the middle is perfect") {
    scene.objects = {{Shape::kStar, Colour::kCyan, Size::kLarge, 0.5, 0.5, 0}};
    CHECK(aesthetics(scene) == Approx(1));
  }
  SECTION("an eighth of the side off the middle costs half of the balance") {
    scene.objects = {{Shape::kStar, Colour::kCyan, Size::kLarge, 0.625, 0.5, 0}};
    CHECK(aesthetics(scene) == Approx(0.8));
  }
  SECTION("one black object in a corner has air alone") {
    scene.objects = {{Shape::kStar, Colour::kBlack, Size::kSmall, 0.15, 0.15, 0}};
    CHECK(aesthetics(scene) == Approx(0.25));
  }
  SECTION("two objects side by side") {
    const double radius = 6.0 / 64;
    const double space = 0.05;
    const double half = kReach * radius + kMargin / 2 + space / 2;
    scene.objects = {{Shape::kStar, Colour::kCyan, Size::kSmall, 0.5 - half, 0.5, 0},
                     {Shape::kStar, Colour::kBlack, Size::kSmall, 0.5 + half, 0.5, 1}};
    CHECK(aesthetics(scene) == Approx(0.4 + 0.35 / 2 + 0.25 * 8 * space));
  }
}

TEST_CASE("overall is the documented combination", "[world][truth]") {
  CHECK(overall(1, 1, 1) == Approx(1));
  CHECK(overall(0.5, 1, 0) == Approx(0.55));
}
