#include "rahf/core/draws.h"

#include <torch/types.h>

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::Draws;
using rahf::Randomness;

TEST_CASE("Draws give a sample the same numbers however a batch is split", "[core][draws]") {
  const Draws all{.random = Randomness(3), .first = 10};
  const Draws rest{.random = Randomness(3), .first = 12};
  const auto whole = all.normal("noise", 4, {5, 2, 3});
  CHECK(torch::equal(whole.slice(0, 2), rest.normal("noise", 4, {3, 2, 3})));
  CHECK(torch::equal(all.uniform("u", 4, {5, 2}).slice(0, 2), rest.uniform("u", 4, {3, 2})));
}

TEST_CASE("Draws differ by sample, step, purpose and seed", "[core][draws]") {
  const Draws draws{.random = Randomness(3)};
  const auto first = draws.normal("noise", 0, {2, 8});
  CHECK_FALSE(torch::equal(first[0], first[1]));
  CHECK_FALSE(torch::equal(first, draws.normal("noise", 1, {2, 8})));
  CHECK_FALSE(torch::equal(first, draws.normal("start", 0, {2, 8})));
  CHECK_FALSE(torch::equal(first, Draws{.random = Randomness(4)}.normal("noise", 0, {2, 8})));
}

TEST_CASE("Draws refuse sizes without a batch", "[core][draws]") {
  CHECK_THROWS_MATCHES(Draws{.random = Randomness(1)}.normal("noise", 0, {}), rahf::ShapeError,
                       Says("sizes must begin with the number of samples"));
}
