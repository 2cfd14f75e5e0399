#include "rahf/world/flaw.h"

#include <algorithm>
#include <cmath>

#include "support/catch.h"

using namespace rahf::world;

namespace {

Scene random_scene(std::mt19937_64& engine) {
  return *lay_out(random_description(engine, 0.65), engine);
}

std::int64_t marked(const Mask& mask) { return std::count(mask.begin(), mask.end(), 255); }

}  // namespace

TEST_CASE("damage marks exactly the pixels that visibly changed", "[world][flaw]") {
  std::mt19937_64 engine(1);
  for (int i = 0; i < 300; ++i) {
    const auto scene = random_scene(engine);
    const auto clean = render(scene, 64);
    const auto damaged = damage(scene, 64, 1 + i % 2, engine);
    for (int p = 0; p < 64 * 64; ++p) {
      int change = 0;
      for (int c = 0; c < 3; ++c) {
        change = std::max(
            change, std::abs(int{clean.pixels[3 * p + c]} - int{damaged.image.pixels[3 * p + c]}));
      }
      REQUIRE((damaged.mask[p] == 255) == (change >= kVisibleChange));
    }
  }
}

TEST_CASE("damage changes enough pixels to be seen, at any size", "[world][flaw]") {
  std::mt19937_64 engine(2);
  const auto size = GENERATE(32, 64, 128);
  for (int i = 0; i < 100; ++i) {
    const auto damaged = damage(random_scene(engine), size, 1, engine);
    REQUIRE(damaged.flaws.size() == 1);
    REQUIRE(marked(damaged.mask) * 64 * 64 >= kMinChanged * size * size);
    REQUIRE(damaged.flaws[0].severity >= kMinSeverity);
    REQUIRE(damaged.flaws[0].severity <= 1);
  }
}

TEST_CASE("damage without flaws is the clean picture", "[world][flaw]") {
  std::mt19937_64 engine(3);
  const auto scene = random_scene(engine);
  const auto damaged = damage(scene, 64, 0, engine);
  CHECK(damaged.image == render(scene, 64));
  CHECK(marked(damaged.mask) == 0);
  CHECK(damaged.plausibility == 1);
}

TEST_CASE("damage puts two flaws on different objects or of different kinds", "[world][flaw]") {
  std::mt19937_64 engine(4);
  for (int i = 0; i < 300; ++i) {
    const auto damaged = damage(random_scene(engine), 64, 2, engine);
    REQUIRE(damaged.flaws.size() == 2);
    const auto &a = damaged.flaws[0], &b = damaged.flaws[1];
    REQUIRE((a.object != b.object || a.kind != b.kind));
    REQUIRE(damaged.plausibility == Approx((1 - 0.8 * a.severity) * (1 - 0.8 * b.severity)));
  }
}

TEST_CASE("a flaw's damage grows with its severity", "[world][flaw]") {
  const auto kind = static_cast<Flaw>(GENERATE(0, 1, 2, 3, 4, 5));
  INFO(name(kind));
  Scene scene;
  scene.objects = {{Shape::kCircle, Colour::kBlue, Size::kLarge, 0.5, 0.5, 0}};
  const auto clean = render(scene, 64);
  const auto mean_damage = [&](double severity) {
    double sum = 0;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      std::mt19937_64 engine(seed);
      Canvas canvas = draw(scene, 64);
      apply(canvas, scene, {kind, 0, severity}, engine);
      sum += static_cast<double>(marked(changed_pixels(clean, canvas.image())));
    }
    return sum / 20;
  };
  const double low = mean_damage(kMinSeverity), high = mean_damage(1);
  CHECK(low >= kMinChanged);
  CHECK(high > 1.4 * low);
}

TEST_CASE("a bite takes away only from its own object", "[world][flaw]") {
  std::mt19937_64 engine(6);
  Scene scene;
  scene.objects = {{Shape::kSquare, Colour::kBlue, Size::kLarge, 0.5, 0.5, 0}};
  for (int i = 0; i < 50; ++i) {
    Canvas canvas = draw(scene, 64);
    apply(canvas, scene, {Flaw::kBite, 0, 1}, engine);
    const auto changed = changed_pixels(render(scene, 64), canvas.image());
    for (int p = 0; p < 64 * 64; ++p) {
      const double dx = p % 64 + 0.5 - 32, dy = p / 64 + 0.5 - 32;
      if (changed[p] != 0) REQUIRE(coverage(Shape::kSquare, dx, dy, 10) > 0);
    }
  }
}
