#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "rahf/core/image.h"
#include "rahf/world/scene.h"

namespace rahf::world {

using Rgb = std::array<std::uint8_t, 3>;

/// Every picture's background.
inline constexpr Rgb kBackground = {236, 236, 232};
Rgb rgb(Colour colour);

/// Signed distance in pixels from the edge of a shape, negative inside, exact for all shapes.
/// @param dx, dy  from the shape's centre, pixels, y downwards
/// @param radius  pixels
double signed_distance(Shape shape, double dx, double dy, double radius);

/// How much of the unit pixel at (dx, dy) the shape covers, in [0, 1]: clamp(1/2 - distance).
double coverage(Shape shape, double dx, double dy, double radius);

/// Pixel values while a picture is being made.
struct Canvas {
  std::int64_t size = 0;      ///< Height and width, pixels.
  std::vector<float> pixels;  ///< size * size * 3, RGB in [0, 255]

  explicit Canvas(std::int64_t side);  ///< All background.
  float* at(std::int64_t y, std::int64_t x) { return &pixels[(y * size + x) * 3]; }
  const float* at(std::int64_t y, std::int64_t x) const { return &pixels[(y * size + x) * 3]; }
  /// Mixes `share` (in [0, 1]) of `colour` into a pixel.
  void mix(std::int64_t y, std::int64_t x, const Rgb& colour, double share);
  Image image() const;  ///< Rounded to 8 bits.
};

/// Pixels of a picture: 255 where marked, else 0; size * size, rows from the top.
using Mask = std::vector<std::uint8_t>;

void draw(Canvas& canvas, const Object& object);
Canvas draw(const Scene& scene, std::int64_t size);
/// The scene as a clean picture. @param size  height and width, pixels
Image render(const Scene& scene, std::int64_t size);

/// Marks the pixels that the object covers by half or more.
void mark(Mask& mask, std::int64_t size, const Object& object);

}  // namespace rahf::world
