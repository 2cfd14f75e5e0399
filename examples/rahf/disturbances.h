#pragma once

#include <cstdint>
#include <random>

#include "rahf/core/image.h"

namespace rahf::program {

// Ways in which a whole picture changes, whatever it shows. Lengths are for 64 x 64 pixels and grow
// with the picture.

/// Encoded and decoded. @param quality  1 to 100
Image through_jpeg(const Image& image, int quality);
/// Every value changed by a uniform integer in [-most, most].
Image with_noise(const Image& image, std::int64_t most, std::mt19937_64& engine);
/// Half-way to the picture smoothed by (1/4, 1/2, 1/4) along both axes.
Image blurred(const Image& image);
/// Lines 24 levels darker, every 8 pixels.
Image with_grid(const Image& image);
/// Waves of 6 pixels and 10 levels.
Image with_texture(const Image& image);
/// Blue fades by 40 levels from top to bottom.
Image with_tint(const Image& image);

}  // namespace rahf::program
