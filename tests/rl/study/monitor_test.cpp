#include "rahf/rl/study/monitor.h"

#include <torch/types.h>

#include <limits>

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::rl::Monitor;

TEST_CASE("Monitor fires once when the reward rises while the held-out judge falls",
          "[rl][monitor]") {
  Monitor monitor({.patience = 2, .margin = 0.01, .gain = 0.01});
  CHECK_FALSE(monitor.observe({0, 0.50, 0.60}));
  CHECK_FALSE(monitor.observe({10, 0.60, 0.65}));
  CHECK(monitor.is_best());
  CHECK_FALSE(monitor.observe({20, 0.70, 0.60}));
  const auto alarm = monitor.observe({30, 0.80, 0.55});
  REQUIRE(alarm);
  CHECK(alarm->find("update 30: the reward rose from 0.6 to 0.8 since update 10") == 0);
  CHECK_FALSE(monitor.observe({40, 0.90, 0.50}));
  CHECK(monitor.alarms() == std::vector<std::int64_t>{30});
  CHECK(monitor.best().update == 10);
  CHECK_FALSE(monitor.is_best());
}

TEST_CASE("Monitor stays silent where both curves fall, or the judge only wavers",
          "[rl][monitor]") {
  Monitor both({.patience = 1});
  both.observe({0, 0.5, 0.6});
  CHECK_FALSE(both.observe({1, 0.4, 0.3}));

  Monitor wavers({.patience = 2, .margin = 0.02});
  wavers.observe({0, 0.5, 0.60});
  CHECK_FALSE(wavers.observe({1, 0.6, 0.59}));
  CHECK_FALSE(wavers.observe({2, 0.7, 0.57}));
  CHECK_FALSE(wavers.observe({3, 0.8, 0.59}));
  CHECK_FALSE(wavers.observe({4, 0.9, 0.57}));
  CHECK(wavers.alarms().empty());
}

TEST_CASE("Monitor goes on from its state as if it had not stopped", "[rl][monitor]") {
  Monitor whole({.patience = 2}), first({.patience = 2}), second({.patience = 2});
  const std::vector<Monitor::Point> points = {{0, .5, .6}, {1, .6, .5}, {2, .7, .4}, {3, .8, .3}};
  for (const auto& point : points) whole.observe(point);
  for (std::size_t i = 0; i < 2; ++i) first.observe(points[i]);
  second.load_state(first.state());
  for (std::size_t i = 2; i < 4; ++i) second.observe(points[i]);
  CHECK(second.alarms() == whole.alarms());
  CHECK(torch::equal(second.state(), whole.state()));
}

TEST_CASE("Monitor refuses a number that is not finite", "[rl][monitor]") {
  Monitor monitor({});
  CHECK_THROWS_MATCHES(monitor.observe({7, std::numeric_limits<double>::quiet_NaN(), 0}),
                       rahf::NonFiniteError, Says("the evaluation at update 7 is not finite"));
}
