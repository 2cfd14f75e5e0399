#include "rahf/reward/metrics/bootstrap.h"

#include <ATen/Parallel.h>

#include <cmath>
#include <limits>
#include <vector>

#include "rahf/core/error.h"
#include "rahf/core/random.h"
#include "support/catch.h"

using namespace rahf::reward;

namespace {

std::vector<double> normal_values(std::uint64_t seed, int count) {
  auto engine = rahf::Randomness(seed).engine("values", 0);
  std::vector<double> values(count);
  for (double& value : values) value = rahf::normal(engine);
  return values;
}

}  // namespace

TEST_CASE("bootstrap gives a mean the width of its standard error", "[reward][bootstrap]") {
  const auto estimate =
      bootstrap(mean_statistic(normal_values(1, 400)), 400, {.resamples = 2000, .seed = 3});
  CHECK(estimate.low < estimate.value);
  CHECK(estimate.value < estimate.high);
  CHECK(estimate.high - estimate.low == Approx(2 * 1.96 / 20).epsilon(.12));
}

TEST_CASE("bootstrap covers the true mean as often as it says", "[reward][bootstrap]") {
  int covered = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const auto estimate =
        bootstrap(mean_statistic(normal_values(seed, 60)), 60, {.resamples = 300, .seed = seed});
    covered += estimate.low <= 0 && 0 <= estimate.high;
  }
  // 95 % of 300 is 285; the percentile interval at n = 60 falls a little short of it.
  CHECK(covered >= 270);
  CHECK(covered <= 297);
}

TEST_CASE("bootstrap depends on its seed and not on the number of threads", "[reward][bootstrap]") {
  const auto statistic = mean_statistic(normal_values(1, 50));
  const auto here = bootstrap(statistic, 50, {.seed = 7});
  const auto threads = at::get_num_threads();
  at::set_num_threads(threads == 1 ? 2 : 1);
  const auto there = bootstrap(statistic, 50, {.seed = 7});
  at::set_num_threads(threads);
  CHECK(here.low == there.low);
  CHECK(here.high == there.high);
  CHECK(here.low != bootstrap(statistic, 50, {.seed = 8}).low);
}

TEST_CASE("bootstrap keeps the entries of a group together", "[reward][bootstrap]") {
  // Four equal entries a picture tell no more than one.
  const auto values = normal_values(2, 100);
  std::vector<double> fourfold;
  std::vector<std::int32_t> group_of;
  for (int i = 0; i < 400; ++i) {
    fourfold.push_back(values[i / 4]);
    group_of.push_back(i / 4);
  }
  const auto grouped = bootstrap(mean_statistic(fourfold), group_of, 100, {.seed = 1});
  const auto single = bootstrap(mean_statistic(values), 100, {.seed = 1});
  CHECK(grouped.low == Approx(single.low).epsilon(1e-12));
  CHECK(grouped.high == Approx(single.high).epsilon(1e-12));
}

TEST_CASE("bootstrap gives no interval where there is none", "[reward][bootstrap]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  SECTION("the statistic is undefined") {
    const auto estimate = bootstrap(mean_statistic({nan, nan}), 2);
    CHECK(std::isnan(estimate.value));
    CHECK(std::isnan(estimate.low));
  }
  SECTION("most resamples leave it undefined") {
    std::vector<double> values(10, nan);
    values[0] = 1;  // Drawn in 65 % of the resamples.
    CHECK_FALSE(std::isnan(bootstrap(mean_statistic(values), 10).low));
    values.resize(10000, nan);
    const Statistic rare = [](std::span<const std::int32_t> counts) {
      return counts[0] > 2 ? 1.0 : std::numeric_limits<double>::quiet_NaN();
    };
    CHECK(std::isnan(bootstrap(rare, 10).low));
  }
  SECTION("none is asked for") {
    const auto estimate = bootstrap(mean_statistic({1, 3}), 2, {.resamples = 0});
    CHECK(estimate.value == 2);
    CHECK(std::isnan(estimate.high));
  }
  SECTION("there is nothing") { CHECK(std::isnan(bootstrap(mean_statistic({}), 0).value)); }
}

TEST_CASE("BootstrapOptions says which option is out of range", "[reward][bootstrap][errors]") {
  REQUIRE_THROWS_MATCHES(bootstrap(mean_statistic({1}), 1, {.level = 1}), rahf::ConfigError,
                         Says("level must be in (0, 1)"));
  REQUIRE_THROWS_MATCHES(bootstrap(mean_statistic({1}), 1, {.resamples = -1}), rahf::ConfigError,
                         Says("resamples must be >= 0"));
}
