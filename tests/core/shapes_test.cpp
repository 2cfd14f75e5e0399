#include "rahf/core/shapes.h"

#include "support/catch.h"

using rahf::ShapeError;
using rahf::Shapes;

TEST_CASE("Shapes accepts arguments whose named sizes agree", "[core][shapes]") {
  Shapes shapes("here");
  CHECK_NOTHROW(shapes.check("x", torch::zeros({2, 3}), {"B", 3}, torch::kFloat));
  CHECK_NOTHROW(shapes.check("y", torch::zeros({2}), {"B"}));
}

TEST_CASE("Shapes says what was required and what came", "[core][shapes][errors]") {
  Shapes shapes("here");

  SECTION("a fixed size differs") {
    REQUIRE_THROWS_MATCHES(shapes.check("x", torch::zeros({2, 3}), {"B", 4}), ShapeError,
                           Says("here: x must be [B, 4], got [2, 3]"));
  }
  SECTION("the same name meets two sizes") {
    shapes.check("x", torch::zeros({2}), {"B"});
    REQUIRE_THROWS_MATCHES(shapes.check("y", torch::zeros({3}), {"B"}), ShapeError,
                           Says("y must be [B], got [3] (B = 2 in an earlier argument)"));
  }
  SECTION("the tensor is undefined") {
    REQUIRE_THROWS_MATCHES(shapes.check("x", {}, {"B"}), ShapeError,
                           Says("got an undefined tensor"));
  }
}
