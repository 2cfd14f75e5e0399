#include "rahf/world/render.h"

#include <cmath>
#include <numbers>

#include "support/catch.h"

using namespace rahf::world;

namespace {

constexpr std::array kShapes = {Shape::kCircle, Shape::kSquare, Shape::kTriangle,
                                Shape::kStar,   Shape::kCross,  Shape::kDiamond};

/// Area of a shape of radius 1, worked out by hand.
double unit_area(Shape shape) {
  switch (shape) {
    case Shape::kCircle:
      return std::numbers::pi;
    case Shape::kSquare:
      return 1.54 * 1.54;
    case Shape::kTriangle:
      return 0.5 * 1.84 * 1.7;
    // Ten triangles between the centre, a tip and an inner corner.
    case Shape::kStar:
      return 10 * 0.5 * 1.1 * 0.46 * std::sin(std::numbers::pi / 5);
    case Shape::kCross:
      return 2 * 0.68 * 2.06 - 0.68 * 0.68;
    case Shape::kDiamond:
      return 2 * 1.1 * 0.72;
  }
  return 0;
}

double covered_area(Shape shape, double x, double y, double radius) {
  double area = 0;
  for (int py = 0; py < 64; ++py) {
    for (int px = 0; px < 64; ++px) area += coverage(shape, px + 0.5 - x, py + 0.5 - y, radius);
  }
  return area;
}

}  // namespace

TEST_CASE("coverage adds up to the shape's area wherever the shape lies", "[world][render]") {
  const auto shape = kShapes[GENERATE(0, 1, 2, 3, 4, 5)];
  const double radius = GENERATE(6.0, 10.0);
  const double area = unit_area(shape) * radius * radius;
  for (const double shift : {0.0, 0.13, 0.5, 0.81}) {
    CHECK(covered_area(shape, 32 + shift, 31 - shift / 3, radius) == Approx(area).epsilon(0.03));
  }
}

TEST_CASE("signed_distance is that of the nearest edge", "[world][render]") {
  CHECK(signed_distance(Shape::kCircle, 3, 4, 2) == Approx(3));
  CHECK(signed_distance(Shape::kCircle, 0, 0, 2) == Approx(-2));
  CHECK(signed_distance(Shape::kSquare, 0, 0, 10) == Approx(-7.7));
  CHECK(signed_distance(Shape::kSquare, 10.7, 0, 10) == Approx(3));
  CHECK(signed_distance(Shape::kSquare, 10.7, 11.7, 10) == Approx(5));
  CHECK(signed_distance(Shape::kDiamond, 0, -14, 10) == Approx(3));
  CHECK(signed_distance(Shape::kCross, 0, 0, 10) == Approx(-3.4 * std::sqrt(2)));
}

TEST_CASE("signed_distance stays within the reach of every shape", "[world][render]") {
  for (const auto shape : kShapes) {
    for (double turn = 0; turn < 6.3; turn += 0.01) {
      const double far = kReach * 10 + 1e-6;
      CHECK(signed_distance(shape, far * std::cos(turn), far * std::sin(turn), 10) >= 0);
    }
  }
}

TEST_CASE("render draws flat colours, a plain background and mixed edges", "[world][render]") {
  Scene scene;
  scene.objects = {{Shape::kCircle, Colour::kRed, Size::kLarge, 0.5, 0.5, 0}};
  const auto image = render(scene, 64);
  const auto red = rgb(Colour::kRed);
  std::int64_t full = 0, empty = 0, mixed = 0;
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) {
      const auto* pixel = image.at(y, x);
      if (std::equal(red.begin(), red.end(), pixel)) {
        ++full;
      } else if (std::equal(kBackground.begin(), kBackground.end(), pixel)) {
        ++empty;
      } else {
        ++mixed;
        for (int c = 0; c < 3; ++c) {
          CHECK(pixel[c] >= std::min(red[c], kBackground[c]));
          CHECK(pixel[c] <= std::max(red[c], kBackground[c]));
        }
      }
    }
  }
  CHECK(full > 260);
  CHECK(full < 314);  // pi 10^2 less what the edge takes
  CHECK(mixed > 40);
  CHECK(mixed < 100);
  CHECK(full + empty + mixed == 64 * 64);
}

TEST_CASE("render shows the same scene at any size", "[world][render]") {
  std::mt19937_64 engine(5);
  const auto scene = *lay_out(random_description(engine, 1), engine);
  const auto small = render(scene, 64), large = render(scene, 256);
  double worst = 0;
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) {
      for (int c = 0; c < 3; ++c) {
        double mean = 0;
        for (int i = 0; i < 16; ++i) mean += large.at(4 * y + i / 4, 4 * x + i % 4)[c] / 16.0;
        worst = std::max(worst, std::abs(mean - small.at(y, x)[c]));
      }
    }
  }
  CHECK(worst < 70);  // corners are rounded differently
}

TEST_CASE("mark marks the pixels that are at least half covered", "[world][render]") {
  for (const auto shape : kShapes) {
    const Object object{shape, Colour::kBlue, Size::kLarge, 0.41, 0.57, 0};
    Mask mask(64 * 64);
    mark(mask, 64, object);
    const auto marked = std::count(mask.begin(), mask.end(), 255);
    CHECK(static_cast<double>(marked) == Approx(unit_area(shape) * 100).epsilon(0.08));
    CHECK(mask[36 * 64 + 26] == 255);
    CHECK(mask[0] == 0);
  }
}
