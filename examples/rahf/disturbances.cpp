#include "disturbances.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "rahf/core/io/image_file.h"
#include "rahf/core/random.h"

namespace rahf::program {
namespace {

/// Adds levels(y, x, channel) to every value.
template <class Levels>
Image with_levels(const Image& image, Levels&& levels) {
  Image result = image;
  for (std::int64_t y = 0; y < image.height; ++y) {
    for (std::int64_t x = 0; x < image.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        const double value = image.at(y, x)[c] + levels(y, x, c);
        result.at(y, x)[c] = static_cast<std::uint8_t>(std::clamp(std::lround(value), 0L, 255L));
      }
    }
  }
  return result;
}

double unit(const Image& image) { return static_cast<double>(image.width) / 64; }

}  // namespace

Image through_jpeg(const Image& image, int quality) {
  return io::decode_image(io::encode_jpeg(image, quality), "a JPEG picture");
}

Image with_noise(const Image& image, std::int64_t most, std::mt19937_64& engine) {
  return with_levels(image, [&](auto, auto, int) {
    return static_cast<double>(uniform_int(engine, 2 * most + 1) - most);
  });
}

Image blurred(const Image& image) {
  const auto at = [&](std::int64_t y, std::int64_t x, int c) {
    return double(image.at(std::clamp<std::int64_t>(y, 0, image.height - 1),
                           std::clamp<std::int64_t>(x, 0, image.width - 1))[c]);
  };
  return with_levels(image, [&](std::int64_t y, std::int64_t x, int c) {
    double sum = 0;
    for (int v = -1; v <= 1; ++v) {
      for (int u = -1; u <= 1; ++u) sum += at(y + v, x + u, c) * (v ? 1 : 2) * (u ? 1 : 2) / 16;
    }
    return (sum - at(y, x, c)) / 2;
  });
}

Image with_grid(const Image& image) {
  const auto step = std::max(2LL, std::llround(8 * unit(image)));
  return with_levels(image, [&](std::int64_t y, std::int64_t x, int) {
    return y % step == 0 || x % step == 0 ? -24.0 : 0.0;
  });
}

Image with_texture(const Image& image) {
  const double turn = 2 * std::numbers::pi / (6 * unit(image));
  return with_levels(image, [&](std::int64_t y, std::int64_t x, int) {
    return 10 * std::sin(turn * double(x)) * std::sin(turn * double(y)) - 4;
  });
}

Image with_tint(const Image& image) {
  return with_levels(image, [&](std::int64_t y, std::int64_t, int c) {
    return c == 2 ? -40.0 * double(y) / double(image.height) : 0.0;
  });
}

}  // namespace rahf::program
