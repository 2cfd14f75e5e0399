#include "rahf/core/random.h"

#include <torch/types.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "support/catch.h"

using rahf::Randomness;

namespace {

torch::Tensor draw(const Randomness& random, std::string_view purpose, std::int64_t step) {
  return torch::rand({8}, random.generator(purpose, step));
}

}  // namespace

TEST_CASE("Randomness gives the same keys and numbers everywhere", "[core][random]") {
  // Computed from the definitions (SplitMix64's finaliser, MT19937-64) by another program.
  CHECK(Randomness(0).key("", 0) == 0x2130748AAAC80268);
  const Randomness random(1, /*rank=*/2);
  CHECK(random.key("noise", 3) == 0x225025E4658485A9);
  auto engine = random.engine("noise", 3);
  CHECK(rahf::uniform(engine) == 0.3844607975535119);
  CHECK(rahf::uniform_int(engine, 1000) == 255);
  CHECK(rahf::normal(engine) == Approx(-0.11478979243639796).epsilon(1e-14));
}

TEST_CASE("Randomness differs for every seed, rank, purpose and step", "[core][random]") {
  std::set<std::uint64_t> keys;
  int drawn = 0;
  for (const std::uint64_t seed : {0, 1, 2}) {
    for (const std::int64_t rank : {0, 1, 2}) {
      for (const auto* purpose : {"", "a", "b", "ab", "ba"}) {
        for (const std::int64_t step : {-1, 0, 1, 2, 1000}) {
          keys.insert(Randomness(seed, rank).key(purpose, step));
          ++drawn;
        }
      }
    }
  }
  CHECK(keys.size() == std::size_t(drawn));
}

TEST_CASE("Randomness draws the same for a step, whatever was drawn before", "[core][random]") {
  const Randomness unbroken(7);
  for (int step = 0; step < 5; ++step) draw(unbroken, "noise", step);
  const Randomness resumed(7);
  CHECK(draw(resumed, "noise", 5).equal(draw(unbroken, "noise", 5)));
  CHECK_FALSE(draw(resumed, "noise", 6).equal(draw(unbroken, "noise", 5)));
  CHECK_FALSE(draw(resumed, "crop", 5).equal(draw(unbroken, "noise", 5)));
}

TEST_CASE("uniform is flat on [0, 1)", "[core][random]") {
  auto engine = Randomness(3).engine("test", 0);
  constexpr int kDraws = 20000;
  std::vector<int> counts(10, 0);
  for (int i = 0; i < kDraws; ++i) {
    const double x = rahf::uniform(engine);
    REQUIRE(x >= 0.0);
    REQUIRE(x < 1.0);
    ++counts[static_cast<std::size_t>(x * 10)];
  }
  // Standard deviation of a count is 42.
  for (const int count : counts) CHECK(std::abs(count - kDraws / 10) < 210);
}

TEST_CASE("uniform_int reaches each number below the bound and no other", "[core][random]") {
  auto engine = Randomness(3).engine("test", 1);
  std::set<std::int64_t> seen;
  for (int i = 0; i < 300; ++i) seen.insert(rahf::uniform_int(engine, 6));
  CHECK(seen == std::set<std::int64_t>{0, 1, 2, 3, 4, 5});
  for (int i = 0; i < 10; ++i) CHECK(rahf::uniform_int(engine, 1) == 0);
  constexpr auto kLargest = std::numeric_limits<std::int64_t>::max();
  for (int i = 0; i < 1000; ++i) REQUIRE(rahf::uniform_int(engine, kLargest) >= 0);
}

TEST_CASE("normal has mean 0 and variance 1", "[core][random]") {
  auto engine = Randomness(3).engine("test", 2);
  constexpr int kDraws = 20000;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rahf::normal(engine);
    sum += x;
    squares += x * x;
  }
  // Five standard errors.
  CHECK(std::abs(sum / kDraws) < 5 * std::sqrt(1.0 / kDraws));
  CHECK(std::abs(squares / kDraws - 1) < 5 * std::sqrt(2.0 / kDraws));
}
