#pragma once

#include <torch/types.h>

#include <string_view>
#include <utility>
#include <vector>

namespace rahf::rl {

/// Cheap numbers about pictures that jump when a reward is hacked: each the mean over a batch.
struct PictureStatistics {
  double dark_share = 0;      ///< Pixels with luma below .2; in [0, 1].
  double edge_density = 0;    ///< Mean absolute difference of luma between neighbours; in [0, 1].
  double colour_entropy = 0;  ///< Bits of a picture's histogram over 8 x 8 x 8 colours; in [0, 9].
  double saturation = 0;      ///< Mean of (max - min) / max over channels; in [0, 1].
  double diversity = 0;       ///< Root mean square distance of pictures from their mean picture.

  std::vector<std::pair<std::string_view, double>> values() const;
};

/// @param images  [B, 3, H, W] f32 RGB in [0, 1], B > 0
PictureStatistics picture_statistics(const torch::Tensor& images);

}  // namespace rahf::rl
