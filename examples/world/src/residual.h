#pragma once

#include <vector>

#include "explain.h"

namespace rahf::world {

/// What an explanation leaves unexplained.
struct Residual {
  std::vector<float> map;   ///< side * side, in [0, 1]
  double plausibility = 0;  ///< As Inspector says.
};

Residual unexplained(const Image& image, const Explanation& explanation,
                     const InspectorOptions& options);

/// A map of side x side smoothed by a Gaussian.
/// @param sigma  pixels
std::vector<float> smoothed(const std::vector<float>& map, std::int64_t side, double sigma);

}  // namespace rahf::world
