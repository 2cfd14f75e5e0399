#include "rahf/core/train/schedule.h"

#include <cmath>

#include "support/catch.h"

using rahf::train::Decay;
using rahf::train::ScheduleOptions;

namespace {
bool near(double a, double b) { return std::abs(a - b) < 1e-12; }
}  // namespace

TEST_CASE("ScheduleOptions warms up in equal steps to the learning rate", "[core][schedule]") {
  const ScheduleOptions options{.learning_rate = 2, .warmup = 4, .decay = Decay::kConstant};
  CHECK(near(options.at(0, 100), 0.5));
  CHECK(near(options.at(1, 100), 1));
  CHECK(near(options.at(3, 100), 2));
  CHECK(near(options.at(50, 100), 2));
}

TEST_CASE("ScheduleOptions halves the inverse-square-root rate at four times the warm-up",
          "[core][schedule]") {
  const ScheduleOptions options{
      .learning_rate = 0.015, .warmup = 2000, .decay = Decay::kInverseSquareRoot};
  CHECK(near(options.at(1999, 20000), 0.015));
  CHECK(near(options.at(7999, 20000), 0.0075));
}

TEST_CASE("ScheduleOptions falls by a cosine to the final share", "[core][schedule]") {
  const ScheduleOptions options{
      .learning_rate = 1, .warmup = 10, .decay = Decay::kCosine, .final_share = 0.2};
  CHECK(near(options.at(10, 110), 1));
  CHECK(near(options.at(60, 110), 0.6));
  CHECK(near(options.at(110, 110), 0.2));
  CHECK(near(options.at(500, 110), 0.2));
}

TEST_CASE("ScheduleOptions without warm-up starts at the learning rate", "[core][schedule]") {
  const auto decay = GENERATE(Decay::kConstant, Decay::kCosine, Decay::kInverseSquareRoot);
  CHECK(near(ScheduleOptions{.learning_rate = 3, .warmup = 0, .decay = decay}.at(0, 50), 3));
}

TEST_CASE("ScheduleOptions names what is out of range", "[core][schedule][errors]") {
  REQUIRE_THROWS_MATCHES(ScheduleOptions{.learning_rate = 0}.validate(), rahf::ConfigError,
                         Says("learning_rate = 0, must be > 0"));
  REQUIRE_THROWS_MATCHES(ScheduleOptions{.final_share = 1.5}.validate(), rahf::ConfigError,
                         Says("final_share = 1.5, must be in [0, 1]"));
}
