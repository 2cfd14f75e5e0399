#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "rahf/world/scene.h"

namespace rahf::world {

/// One colour in a picture: how much of it each pixel seems to hold, about 0 to 1, and how that
/// changes from pixel to pixel.
struct ColourShares {
  std::int64_t side = 0;
  std::vector<float> values;       ///< side * side
  std::vector<float> right, down;  ///< Slopes, per pixel.

  explicit ColourShares(std::int64_t height) : side(height), values(height * height) {}
  void take_slopes();  ///< From the values, by central differences.
};

/// What makes an ideal object fit a picture's shares of its colour, in pixels.
enum class Criterion : std::uint8_t {
  /// Squared differences that drawing the object takes away. Exact for undamaged objects.
  kLeastSquares,
  /// The same plus the weighted length of its outline as far as that is seen. Tells what a damaged
  /// object was before.
  kOutline,
};

/// An ideal object laid over a picture.
struct Fit {
  Shape shape = Shape::kCircle;
  Size size = Size::kSmall;
  double x = 0, y = 0;  ///< Centre, pixels from the top-left corner.
  double gain = -1e30;  ///< By a criterion: what is maximised.
  double form = -1;     ///< gain as a part of what an undamaged object gains; 1 at best.
};

/// The best place of every ideal object: one per shape and size, best first.
using Fits = std::array<Fit, kNumShapes * kNumSizes>;

struct Point {
  double x, y;
};

/// Fits ideal shapes of the world to pictures of one size. Immutable, hence thread-safe.
class ShapeFitter {
 public:
  /// @param side  height and width of the pictures, pixels
  explicit ShapeFitter(std::int64_t side);

  /// By least squares, uphill from `start`, in pixels.
  Fits fit(const ColourShares& shares, Point start) const;
  /// By outlines: uphill from `start` and from where in a rectangle most of the outline is seen.
  Fits search(const ColourShares& shares, Point top_left, Point bottom_right, Point start) const;

 private:
  /// A pixel on an outline, seen from the pixel that holds the centre.
  struct OutlinePixel {
    std::int32_t down, right;
    float down_weight, right_weight;
  };

  template <class Visit>
  void for_each_pixel(const Fit& fit, Visit&& visit) const;
  void score(const ColourShares& shares, Criterion criterion, Fit& fit) const;
  void climb(const ColourShares& shares, Criterion criterion, double step, double finest,
             Fit& fit) const;
  Point best_outline(const ColourShares& shares, std::size_t kind, Point top_left,
                     Point bottom_right) const;
  Fits refined(const ColourShares& shares, Criterion criterion, Fits fits) const;

  // Signed distances of shapes of radius 1, on a grid over [-kExtent, kExtent]^2.
  static constexpr double kExtent = 1.6;
  static constexpr std::int64_t kCells = 96;
  std::int64_t side_;
  double unit_;  ///< Pixels per pixel of a 64 x 64 picture.
  std::array<std::vector<float>, kNumShapes> distances_;
  // Per kind, shapes of one size after another.
  std::array<std::vector<OutlinePixel>, kNumShapes * kNumSizes> outlines_;
  std::array<double, kNumShapes * kNumSizes> own_area_{}, own_outline_{};
};

}  // namespace rahf::world
