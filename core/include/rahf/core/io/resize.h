#pragma once

#include <torch/types.h>

#include <cstdint>

#include "rahf/core/image.h"

namespace rahf::io {

enum class ResizeFilter { kBilinear, kBicubic };

/// Resizes as Pillow's Image.resize does for 8-bit pictures, bit for bit: separable, antialiased
/// when shrinking, rounded to 8 bits after each pass. Reference preprocessing is Pillow's. (Equal
/// to Pillow 13; older versions differ by a level or so where height shrinks by more than twice
/// what width does, as they never resize columns first.)
/// @throws ShapeError for sizes below 1.
Image resize(const Image& image, std::int64_t height, std::int64_t width,
             ResizeFilter filter = ResizeFilter::kBilinear);

/// Antialiased bilinear resizing with a gradient.
/// @param images  [B, C, H, W] or [B, H, W] f32
/// @return        the same rank, `height` x `width`
torch::Tensor resize(const torch::Tensor& images, std::int64_t height, std::int64_t width);

}  // namespace rahf::io
