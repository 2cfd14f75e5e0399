#include "side_by_side.h"

#include <torch/types.h>

#include "rahf/core/error.h"
#include "support/catch.h"

using namespace rahf::program;

TEST_CASE("side_by_side sorts pairs into the paper's five answers", "[rahf][compare]") {
  const auto before = torch::tensor({.5, .5, .5, .5, .5}, torch::kDouble).view({5, 1});
  const auto after = torch::tensor({.9, .6, .53, .4, .1}, torch::kDouble).view({5, 1});
  const rahf::Prompts prompts = {{"a"}, {"b"}, {"c"}, {"d"}, {"e"}};
  const auto table = side_by_side(before, after, {"plausibility"}, prompts);
  REQUIRE(table.size() == 1);
  for (const auto share : table[0].shares) CHECK(share == Approx(.2));
  CHECK(table[0].gain.value == Approx(.006));
  CHECK(table[0].before.value == Approx(.5));
  CHECK(table[0].before.low == Approx(.5));  // all equal
  CHECK(table[0].after.low < .5);
  CHECK(side_by_side_text(table).find("plausibility") != std::string::npos);

  SECTION("and the other way round with the generators exchanged") {
    const auto turned = side_by_side(after, before, {"plausibility"}, prompts,
                                     {.equal_within = 0.05, .much_from = 0.2});
    CHECK(turned[0].shares[0] == Approx(.2));
    CHECK(turned[0].shares[3] == Approx(.2));
    CHECK(turned[0].gain.value == Approx(-.006));
  }
}

TEST_CASE("side_by_side refuses scores that do not fit the prompts", "[rahf][compare]") {
  const auto scores = torch::zeros({3, 1}, torch::kDouble);
  CHECK_THROWS_MATCHES(side_by_side(scores, scores, {"x"}, {{"a"}, {"b"}}), rahf::ShapeError,
                       Says("scores must be [2, 1], got [3, 1] and [3, 1]"));
  CHECK_THROWS_MATCHES((SideBySideOptions{.equal_within = .4}.validate()), rahf::ConfigError,
                       Says("0 <= equal_within < much_from"));
}
