#include "rahf/rl/study/picture_statistics.h"

#include <torch/types.h>

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::rl::picture_statistics;

TEST_CASE("picture_statistics are those worked by hand", "[rl][picture_statistics]") {
  // Left half black, right half pure red.
  auto image = torch::zeros({1, 3, 4, 4});
  image[0][0].slice(1, 2).fill_(1);
  const auto seen = picture_statistics(image);
  CHECK(seen.dark_share == Approx(0.5));  // red has luma .299
  CHECK(seen.saturation == Approx(0.5));
  CHECK(seen.colour_entropy == Approx(1.0));  // two colours, half each
  CHECK(seen.edge_density == Approx(0.299 / 3 / 2));
  CHECK(seen.diversity == Approx(0));
}

TEST_CASE("picture_statistics see a grid and two different pictures", "[rl][picture_statistics]") {
  const auto flat = torch::full({1, 3, 8, 8}, 0.5F);
  auto grid = flat.clone();
  for (std::int64_t x = 0; x < 8; x += 2) grid.select(3, x).fill_(0.6);
  CHECK(picture_statistics(grid).edge_density > picture_statistics(flat).edge_density + 0.04);
  const auto two = torch::cat({torch::zeros({1, 3, 8, 8}), torch::ones({1, 3, 8, 8})});
  CHECK(picture_statistics(two).diversity == Approx(0.5));
}

TEST_CASE("picture_statistics refuse an empty batch", "[rl][picture_statistics]") {
  CHECK_THROWS_MATCHES(picture_statistics(torch::zeros({0, 3, 4, 4})), rahf::ShapeError,
                       Says("images must not be empty"));
}
