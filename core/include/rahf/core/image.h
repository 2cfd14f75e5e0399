#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace rahf {

/// An 8-bit RGB picture: rows from the top, pixels from the left, channels interleaved.
struct Image {
  std::int64_t height = 0;           ///< Pixels.
  std::int64_t width = 0;            ///< Pixels.
  std::vector<std::uint8_t> pixels;  ///< height * width * 3 bytes, RGB.

  Image() = default;
  Image(std::int64_t h, std::int64_t w) : height(h), width(w), pixels(h * w * 3) {}

  std::uint8_t* at(std::int64_t y, std::int64_t x) { return &pixels[(y * width + x) * 3]; }
  const std::uint8_t* at(std::int64_t y, std::int64_t x) const {
    return &pixels[(y * width + x) * 3];
  }
  bool operator==(const Image&) const = default;
};

/// @return [3, H, W] f32  RGB in [0, 1]
torch::Tensor to_tensor(const Image& image);

/// Rounds to the nearest of 256 levels; values outside [0, 1] are clamped.
/// @param picture  [3, H, W] or [1, H, W] (grey), any float type and device, RGB in [0, 1]
/// @throws ShapeError for other shapes.
Image to_image(const torch::Tensor& picture);

}  // namespace rahf
