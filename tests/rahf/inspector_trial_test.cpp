#include "inspector_trial.h"

#include "rahf/core/error.h"
#include "support/catch.h"

using namespace rahf::program;

TEST_CASE("the inspector meets what is required of it as an instrument",
          "[program][inspector][slow]") {
  const auto figures = try_inspector(rahf::world::Inspector(), 100, 5);
  for (const auto& one : figures) {
    if (one.name == "clean.milliseconds") continue;  // a matter of the machine
    CAPTURE(one.name, one.value, one.count, one.requirement);
    CHECK(holds(one));
  }
  CHECK(figure(figures, "words.recall").value > 0.95);
  CHECK(figure(figures, "words.precision").value > 0.95);
  CHECK(figure(figures, "flaws.alignment").value > 0.85);
  CHECK(figure(figures, "flaws.iou").value > 0.5);
  CHECK(figure(figures, "flaws.srcc").value > 0.4);
  CHECK(figure(figures, "mismatches.srcc").value > 0.95);
}

TEST_CASE("a figure holds if it is on the right side of its bound", "[program][inspector]") {
  CHECK(holds({"a", 0.95, 1, ">= 0.95"}));
  CHECK_FALSE(holds({"a", 0.94, 1, ">= 0.95"}));
  CHECK(holds({"a", 0.02, 1, "<= 0.02"}));
  CHECK_FALSE(holds({"a", 0.03, 1, "<= 0.02"}));
  CHECK(holds({"a", 0.03, 1, ""}));
  CHECK_THROWS_MATCHES(figure({{"a", 0, 1, ""}}, "b"), rahf::Error, Says("one of a, got b"));
}
