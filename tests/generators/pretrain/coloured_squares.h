#pragma once

#include <torch/types.h>

#include <string>

#include "rahf/core/picture_source.h"

/// Pictures of one square each, red or green, at a place that the picture's number tells.
class ColouredSquares : public rahf::PictureSource {
 public:
  explicit ColouredSquares(std::int64_t side) : side_(side) {}

  std::int64_t side() const override { return side_; }
  rahf::CaptionedPictures at(std::int64_t first, std::int64_t count) const override {
    rahf::CaptionedPictures drawn{.images = torch::full({count, 3, side_, side_}, .9F),
                                  .prompts = {}};
    for (std::int64_t i = 0; i < count; ++i) {
      const auto number = (first + i) % 1009, half = side_ / 2;
      const bool red = number % 2 == 0;
      const auto y = number * 7 % half, x = number * 13 % half;
      auto square = drawn.images[i].slice(1, y, y + half).slice(2, x, x + half);
      square.fill_(.1);
      square[red ? 0 : 1].fill_(.8);
      drawn.prompts.push_back({red ? "red square" : "green square"});
    }
    return drawn;
  }
  std::string identity() const override { return "coloured squares " + std::to_string(side_); }

 private:
  std::int64_t side_;
};
