#pragma once

#include <array>
#include <vector>

#include "rahf/world/flaw.h"
#include "rahf/world/mismatch.h"
#include "rahf/world/render.h"
#include "rahf/world/scene.h"

namespace rahf::world {

/// What is exactly true of a picture for its caption.
struct Truth {
  std::array<float, 4> scores = {1, 1, 1, 1};  ///< In kScoreNames order, in [0, 1].
  Mask implausibility;                         ///< Pixels changed by flaws.
  Mask misalignment;                           ///< Pixels of the objects that mismatches concern.
  std::vector<WordError> words;                ///< One per word of the caption.
  std::vector<AppliedFlaw> flaws;
  std::vector<Mismatch> mismatches;
};

/// How pleasant the arrangement is, in [0, 1], from three things that are seen:
/// - balance (0.4): 1 less four times the distance of the mass centre (weights: squared radii) from
///   the middle of the picture, as a fraction of the side, but not below 0;
/// - colours (0.35): the objects' mean appeal, weighted alike: cyan 1, orange .9, blue .85, green
///   .7, red .6, yellow .45, purple .3, black 0;
/// - air (0.25): the smallest free space between two objects less kMargin, over 1/8 of the side, at
///   most 1; 1 for a single object.
double aesthetics(const Scene& scene);

/// 0.4 plausibility + 0.35 alignment + 0.25 aesthetics
double overall(double plausibility, double alignment, double aesthetics);

}  // namespace rahf::world
