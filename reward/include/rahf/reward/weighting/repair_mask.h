#pragma once

#include <torch/types.h>

#include <cstdint>

#include "rahf/core/options.h"

namespace rahf::weighting {

/// From a heatmap to what is to be painted again.
struct RepairMaskOptions {
  double threshold = 0.3;     ///< Heat from which a pixel is marked; in (0, 1].
  std::int64_t dilation = 2;  ///< Pixels by which marked places grow, in a square; >= 0.
  std::int64_t least = 4;     ///< Marked pixels below which a picture counts as clean; >= 1.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("threshold", self.threshold, "heat from which a pixel is marked; in (0, 1]");
    visit("dilation", self.dilation, "pixels by which marked places grow; >= 0");
    visit("least", self.least, "marked pixels below which a picture counts as clean; >= 1");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// @param heat  [B, H, W] f32 in [0, 1], higher is worse
/// @return      [B, H, W] bool, true where the picture is to be painted again; all false for a
///              picture with fewer than `least` pixels at or above the threshold
torch::Tensor repair_mask(const torch::Tensor& heat, const RepairMaskOptions& options);

}  // namespace rahf::weighting
