#include "rahf/world/render.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rahf::world {
namespace {

struct Point {
  double x, y;
};

/// Corners of the shapes with straight edges, for radius 1, clockwise from the top.
std::vector<Point> corners(Shape shape) {
  switch (shape) {
    case Shape::kCircle:
      return {};
    case Shape::kSquare:
      return {{-.77, -.77}, {.77, -.77}, {.77, .77}, {-.77, .77}};
    case Shape::kTriangle:
      return {{0, -1.1}, {.92, .6}, {-.92, .6}};
    case Shape::kStar: {
      std::vector<Point> star;
      for (int i = 0; i < 10; ++i) {
        const double radius = i % 2 == 0 ? 1.1 : 0.46;
        const double angle = std::numbers::pi * i / 5;
        star.push_back({radius * std::sin(angle), -radius * std::cos(angle)});
      }
      return star;
    }
    case Shape::kCross:
      return {{-.34, -1.03}, {.34, -1.03}, {.34, -.34}, {1.03, -.34}, {1.03, .34},   {.34, .34},
              {.34, 1.03},   {-.34, 1.03}, {-.34, .34}, {-1.03, .34}, {-1.03, -.34}, {-.34, -.34}};
    case Shape::kDiamond:
      return {{0, -1.1}, {.72, 0}, {0, 1.1}, {-.72, 0}};
  }
  return {};
}

const std::vector<Point>& polygon(Shape shape) {
  static const std::array<std::vector<Point>, kNumShapes> all = [] {
    std::array<std::vector<Point>, kNumShapes> made;
    for (int i = 0; i < kNumShapes; ++i) made[i] = corners(static_cast<Shape>(i));
    return made;
  }();
  return all[static_cast<std::size_t>(shape)];
}

/// Calls visit(y, x, covered) for every pixel that the object touches.
template <class Visit>
void for_each_covered(const Object& object, std::int64_t size, Visit&& visit) {
  const double side = static_cast<double>(size);
  const double x0 = object.x * side, y0 = object.y * side, radius = object.radius() * side;
  const auto clip = [&](double place) {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(place)), 0, size - 1);
  };
  const double reach = kReach * radius + 1;
  for (auto y = clip(y0 - reach); y <= clip(y0 + reach); ++y) {
    for (auto x = clip(x0 - reach); x <= clip(x0 + reach); ++x) {
      const double covered = coverage(object.shape, static_cast<double>(x) + 0.5 - x0,
                                      static_cast<double>(y) + 0.5 - y0, radius);
      if (covered > 0) visit(y, x, covered);
    }
  }
}

}  // namespace

Rgb rgb(Colour colour) {
  switch (colour) {
    case Colour::kRed:
      return {216, 32, 40};
    case Colour::kOrange:
      return {244, 128, 16};
    case Colour::kYellow:
      return {240, 212, 0};
    case Colour::kGreen:
      return {32, 148, 56};
    case Colour::kCyan:
      return {64, 196, 220};
    case Colour::kBlue:
      return {40, 72, 208};
    case Colour::kPurple:
      return {148, 48, 180};
    case Colour::kBlack:
      return {32, 32, 36};
  }
  return kBackground;
}

double signed_distance(Shape shape, double dx, double dy, double radius) {
  if (shape == Shape::kCircle) return std::hypot(dx, dy) - radius;
  // The nearest point of every edge, and the parity of edges crossed on the way to the right.
  const auto& points = polygon(shape);
  const double px = dx / radius, py = dy / radius;
  double nearest = 1e30;
  bool inside = false;
  for (std::size_t i = 0, j = points.size() - 1; i < points.size(); j = i++) {
    const auto &a = points[i], &b = points[j];
    const double ex = b.x - a.x, ey = b.y - a.y, wx = px - a.x, wy = py - a.y;
    const double along = std::clamp((wx * ex + wy * ey) / (ex * ex + ey * ey), 0.0, 1.0);
    const double qx = wx - along * ex, qy = wy - along * ey;
    nearest = std::min(nearest, qx * qx + qy * qy);
    if ((a.y > py) != (b.y > py) && px < a.x + ex * (py - a.y) / ey) inside = !inside;
  }
  return (inside ? -radius : radius) * std::sqrt(nearest);
}

double coverage(Shape shape, double dx, double dy, double radius) {
  return std::clamp(0.5 - signed_distance(shape, dx, dy, radius), 0.0, 1.0);
}

Canvas::Canvas(std::int64_t side) : size(side), pixels(side * side * 3) {
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = kBackground[i % 3];
}

void Canvas::mix(std::int64_t y, std::int64_t x, const Rgb& colour, double share) {
  auto* pixel = at(y, x);
  for (int c = 0; c < 3; ++c) pixel[c] += static_cast<float>(share * (colour[c] - pixel[c]));
}

Image Canvas::image() const {
  Image image(size, size);
  std::transform(pixels.begin(), pixels.end(), image.pixels.begin(), [](float value) {
    return static_cast<std::uint8_t>(std::clamp(std::lround(value), 0L, 255L));
  });
  return image;
}

void draw(Canvas& canvas, const Object& object) {
  const auto colour = rgb(object.colour);
  for_each_covered(object, canvas.size, [&](std::int64_t y, std::int64_t x, double covered) {
    canvas.mix(y, x, colour, covered);
  });
}

Canvas draw(const Scene& scene, std::int64_t size) {
  Canvas canvas(size);
  for (const auto& object : scene.objects) draw(canvas, object);
  return canvas;
}

Image render(const Scene& scene, std::int64_t size) { return draw(scene, size).image(); }

void mark(Mask& mask, std::int64_t size, const Object& object) {
  for_each_covered(object, size, [&](std::int64_t y, std::int64_t x, double covered) {
    if (covered >= 0.5) mask[y * size + x] = 255;
  });
}

}  // namespace rahf::world
