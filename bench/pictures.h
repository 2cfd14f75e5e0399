#pragma once

#include <cstdint>

#include "rahf/core/image.h"

namespace rahf::bench {

/// A picture with edges, slopes and fine detail, so that it compresses about as a photograph does.
inline Image picture(std::int64_t height, std::int64_t width) {
  Image image(height, width);
  std::uint32_t noise = 1;
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (std::int64_t c = 0; c < 3; ++c) {
        noise = noise * 1664525U + 1013904223U;
        const auto slope = (x * (c + 1) + y * (3 - c)) / 8, edge = ((x / 64 + y / 64) % 2) * 60;
        image.at(y, x)[c] = static_cast<std::uint8_t>((slope + edge + (noise >> 28)) % 256);
      }
    }
  }
  return image;
}

}  // namespace rahf::bench
