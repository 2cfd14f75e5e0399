#pragma once

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "rahf/world/truth.h"

namespace rahf::world {

/// What one person says about one picture: a line of annotations.jsonl.
struct Annotation {
  std::string annotator;                                  ///< "a07"
  std::vector<std::array<double, 2>> implausible_points;  ///< x, y in pixels from the top left.
  std::vector<std::array<double, 2>> misaligned_points;
  std::vector<std::int64_t> misaligned_words;  ///< Indices of the caption's words, ascending.
  std::array<int, 4> scores = {};              ///< 1 (bad) to 5, in kScoreNames order.
};

/// A simulated person's habits.
struct Annotator {
  std::string name;
  double bias = 0;   ///< Added to every score before rounding; a fraction of the scale.
  double scale = 1;  ///< Below 1: keeps to the middle of the scale.
  double care = 1;   ///< Multiplies noise and jitter; below 1 is more careful than most.
};

/// Always the same 27 people, whatever the seed: test pictures are judged by the same crowd.
const std::vector<Annotator>& annotators();

/// What the person says about a picture of which the truth is known. Clicks cover each marked
/// region until a disk of 1/20 of the side around them hides most of it; they are jittered, some
/// are missed, some fall elsewhere.
Annotation annotate(const Annotator& annotator, const Truth& truth, std::int64_t size,
                    std::mt19937_64& engine);

}  // namespace rahf::world
