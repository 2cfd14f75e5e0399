#include "rahf/generators/pretrain/noise_levels.h"

#include <torch/types.h>

#include <cmath>

#include "rahf/core/error.h"
#include "support/catch.h"

using namespace rahf::generators;
using rahf::Draws;
using rahf::Randomness;

TEST_CASE("NoiseLevels are spread as their name says", "[generators][pretrain]") {
  constexpr std::int64_t kCount = 20000;
  const Draws draws{.random = Randomness(3)};
  const auto share_below = [&](const NoiseLevels& levels, double bound) {
    const auto drawn = levels.draw(kCount, draws);
    REQUIRE(drawn.min().item<float>() >= 0);
    REQUIRE(drawn.max().item<float>() <= 1);
    return (drawn < bound).to(torch::kDouble).mean().item<double>();
  };
  CHECK(share_below({.spread = LevelSpread::kUniform}, .3) == Approx(.3).margin(.01));
  // P(cos(u pi / 2) < x) = 1 - acos(x) 2 / pi
  CHECK(share_below({.spread = LevelSpread::kCosine}, .5) == Approx(1.0 / 3).margin(.01));
  const NoiseLevels normal{.spread = LevelSpread::kLogitNormal, .mean = .2, .deviation = 1.2};
  CHECK(share_below(normal, 1 / (1 + std::exp(-.2))) == Approx(.5).margin(.01));
  CHECK(share_below(normal, 1 / (1 + std::exp(1.0))) == Approx(.1587).margin(.01));
}

TEST_CASE("NoiseLevels give a sample its level whatever its batch", "[generators][pretrain]") {
  const NoiseLevels levels{.spread = LevelSpread::kCosine};
  const auto all = levels.draw(6, {.random = Randomness(3)});
  CHECK(torch::equal(all.slice(0, 4), levels.draw(2, {.random = Randomness(3), .first = 4})));
}

TEST_CASE("NoiseLevels refuse a deviation of 0", "[generators][pretrain]") {
  CHECK_THROWS_MATCHES(NoiseLevels{.deviation = 0}.validate(), rahf::ConfigError,
                       Says("deviation must be > 0, got 0"));
}
