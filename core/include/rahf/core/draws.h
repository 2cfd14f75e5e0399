#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string_view>

#include "rahf/core/random.h"

namespace rahf {

/// Random draws for a batch of samples. Sample i of a call is number `first + i`: what it gets does
/// not depend on how a batch is split over calls, ranks or devices (numbers are drawn on the CPU
/// and moved). A value; safe to copy.
struct Draws {
  Randomness random;
  std::int64_t first = 0;

  /// Standard normal numbers. @param sizes  the first is B  @return `sizes` f32 on `device`
  torch::Tensor normal(std::string_view purpose, std::int64_t step, at::IntArrayRef sizes,
                       torch::Device device = torch::kCPU) const;
  /// Uniform numbers in [0, 1). @param sizes  the first is B  @return `sizes` f32 on `device`
  torch::Tensor uniform(std::string_view purpose, std::int64_t step, at::IntArrayRef sizes,
                        torch::Device device = torch::kCPU) const;
};

}  // namespace rahf
