#pragma once

#include <torch/types.h>

#include <cstdint>

#include "rahf/core/image.h"

namespace rahf::draw {

/// Pictures side by side, `columns` in a row, with thin white lines between them.
/// @param images  [N, 3, H, W] f32 RGB in [0, 1], N > 0
Image picture_grid(const torch::Tensor& images, std::int64_t columns);

}  // namespace rahf::draw
