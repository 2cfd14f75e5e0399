#include "rahf/core/draw/picture_grid.h"

#include <torch/types.h>

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::draw::picture_grid;

TEST_CASE("picture_grid lays pictures in rows", "[draw][grid]") {
  auto images = torch::zeros({3, 3, 4, 5});
  images[1][0].fill_(1);
  images[2][2].fill_(1);
  const auto grid = picture_grid(images, 2);
  CHECK(grid.height == 2 * 4 + 2);
  CHECK(grid.width == 2 * 5 + 2);
  CHECK(grid.at(0, 0)[0] == 0);
  CHECK(grid.at(0, 7)[0] == 255);
  CHECK(grid.at(0, 7)[2] == 0);
  CHECK(grid.at(6, 0)[2] == 255);
  CHECK(grid.at(0, 5)[1] == 255);  // the line between
  CHECK(grid.at(6, 7)[1] == 255);  // no picture there
  CHECK(picture_grid(images, 9).width == 3 * 5 + 4);
}

TEST_CASE("picture_grid refuses no pictures", "[draw][grid]") {
  CHECK_THROWS_MATCHES(picture_grid(torch::zeros({0, 3, 4, 4}), 2), rahf::ShapeError,
                       Says("images must be [N, 3, H, W] with N > 0"));
}
