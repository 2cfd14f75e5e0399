#include "rahf/world/truth.h"

#include <algorithm>
#include <cmath>

namespace rahf::world {
namespace {

double appeal(Colour colour) {
  switch (colour) {
    case Colour::kRed:
      return 0.6;
    case Colour::kOrange:
      return 0.9;
    case Colour::kYellow:
      return 0.45;
    case Colour::kGreen:
      return 0.7;
    case Colour::kCyan:
      return 1;
    case Colour::kBlue:
      return 0.85;
    case Colour::kPurple:
      return 0.3;
    case Colour::kBlack:
      return 0;
  }
  return 0;
}

}  // namespace

double aesthetics(const Scene& scene) {
  double mass = 0, x = 0, y = 0, colours = 0, air = 1;
  for (std::size_t i = 0; i < scene.objects.size(); ++i) {
    const auto& object = scene.objects[i];
    const double weight = object.radius() * object.radius();
    mass += weight;
    x += weight * object.x;
    y += weight * object.y;
    colours += weight * appeal(object.colour);
    for (std::size_t j = 0; j < i; ++j) {
      const auto& other = scene.objects[j];
      const double space = std::hypot(object.x - other.x, object.y - other.y) -
                           kReach * (object.radius() + other.radius());
      air = std::clamp(8 * (space - kMargin), 0.0, air);
    }
  }
  const double balance = std::max(0.0, 1 - 4 * std::hypot(x / mass - 0.5, y / mass - 0.5));
  return 0.4 * balance + 0.35 * colours / mass + 0.25 * air;
}

double overall(double plausibility, double alignment, double aesthetics) {
  return 0.4 * plausibility + 0.35 * alignment + 0.25 * aesthetics;
}

}  // namespace rahf::world
