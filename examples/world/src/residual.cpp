#include "residual.h"

#include <algorithm>
#include <cmath>

namespace rahf::world {
namespace {

constexpr double kSteepness = 2;
/// Of the neighbourhood over which differences are averaged, in pixels of a 64 x 64 picture.
constexpr double kSigma = 0.8;
/// How far from an object's edge differences count as the object's, in parts of its radius.
constexpr double kZone = 1.5;

/// How far the contrast of an edge reaches, in pixels of a 64 x 64 picture: JPEG halves the
/// resolution of colours.
constexpr std::int64_t kEdgeReach = 2;

/// Largest difference of a channel within the square around each pixel.
std::vector<float> contrast(const Canvas& canvas) {
  const auto side = canvas.size, reach = std::max(kEdgeReach, kEdgeReach * side / 64);
  std::vector<float> result(side * side);
  for (std::int64_t y = 0; y < side; ++y) {
    for (std::int64_t x = 0; x < side; ++x) {
      float range = 0;
      for (int c = 0; c < 3; ++c) {
        float low = 1e9F, high = -1e9F;
        for (auto v = std::max<std::int64_t>(0, y - reach); v <= std::min(side - 1, y + reach);
             ++v) {
          for (auto u = std::max<std::int64_t>(0, x - reach); u <= std::min(side - 1, x + reach);
               ++u) {
            low = std::min(low, canvas.at(v, u)[c]);
            high = std::max(high, canvas.at(v, u)[c]);
          }
        }
        range = std::max(range, high - low);
      }
      result[y * side + x] = range;
    }
  }
  return result;
}

/// The object in whose zone a pixel lies, or -1.
std::int64_t nearest_object(const std::vector<SeenObject>& objects, double x, double y) {
  std::int64_t best = -1;
  double nearest = 1e30;
  for (std::size_t k = 0; k < objects.size(); ++k) {
    const auto& object = objects[k].object;
    const double beyond = std::hypot(object.x - x, object.y - y) - kReach * object.radius();
    if (beyond > kZone * object.radius() || beyond >= nearest) continue;
    nearest = beyond;
    best = static_cast<std::int64_t>(k);
  }
  return best;
}

}  // namespace

std::vector<float> smoothed(const std::vector<float>& map, std::int64_t side, double sigma) {
  const auto reach = static_cast<std::int64_t>(std::ceil(2.5 * sigma));
  std::vector<float> kernel;
  for (auto i = -reach; i <= reach; ++i) {
    const double offset = static_cast<double>(i) / sigma;
    kernel.push_back(static_cast<float>(std::exp(-0.5 * offset * offset)));
  }
  // Along rows, then along columns; weights outside the picture are left out of the mean.
  const auto pass = [&](const std::vector<float>& in, std::int64_t stride, std::int64_t across) {
    std::vector<float> out(in.size());
    for (std::int64_t line = 0; line < side; ++line) {
      for (std::int64_t i = 0; i < side; ++i) {
        float sum = 0, weight = 0;
        for (auto k = std::max(-reach, -i); k <= std::min(reach, side - 1 - i); ++k) {
          sum += kernel[k + reach] * in[line * across + (i + k) * stride];
          weight += kernel[k + reach];
        }
        out[line * across + i * stride] = sum / weight;
      }
    }
    return out;
  };
  return pass(pass(map, 1, side), side, 1);
}

Residual unexplained(const Image& image, const Explanation& explanation,
                     const InspectorOptions& options) {
  const auto side = image.height;
  const auto& ideal = explanation.ideal;
  const auto edges = contrast(ideal);
  std::vector<float> squares(side * side);
  for (std::size_t i = 0; i < squares.size(); ++i) {
    double sum = 0;
    for (std::size_t c = 3 * i; c < 3 * i + 3; ++c) {
      const double difference = image.pixels[c] - ideal.pixels[c];
      sum += difference * difference;
    }
    const double beyond =
        std::max(0.0, std::sqrt(sum / 3) - options.edge_tolerance * double(edges[i]));
    squares[i] = static_cast<float>(beyond * beyond);
  }
  Residual residual;
  residual.map = smoothed(squares, side, kSigma * static_cast<double>(side) / 64);
  for (auto& value : residual.map) {
    const double beyond = std::sqrt(double(value)) - options.noise_tolerance;
    value = static_cast<float>(std::clamp(beyond / options.full_residual, 0.0, 1.0));
  }

  const auto& objects = explanation.objects;
  if (objects.empty()) return residual;
  std::vector<double> around(objects.size());
  double elsewhere = 0, area = 0, badness = 0;
  for (std::int64_t i = 0; i < side * side; ++i) {
    if (residual.map[i] <= 0) continue;
    const auto place = [&](std::int64_t pixel) {
      return (static_cast<double>(pixel) + 0.5) / static_cast<double>(side);
    };
    const auto nearest = nearest_object(objects, place(i % side), place(i / side));
    (nearest < 0 ? elsewhere : around[nearest]) += double(residual.map[i]);
  }
  for (std::size_t k = 0; k < objects.size(); ++k) {
    const double radius = objects[k].object.radius() * static_cast<double>(side);
    const auto own = static_cast<double>(objects[k].pixels.size());
    badness += around[k] / (std::sqrt(own) * radius);
    area += own;
  }
  badness += elsewhere / area;
  residual.plausibility = 1 / (1 + kSteepness * badness);
  return residual;
}

}  // namespace rahf::world
