#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rahf/world/inspector.h"

namespace rahf::program {

/// One figure of the inspector as an instrument.
struct TrialFigure {
  std::string name;         ///< For example "flaws.flagged.bite".
  double value = 0;         ///< A share or a mean in [0, 1], a correlation, or milliseconds.
  std::int64_t count = 0;   ///< Over how many pictures, words or pairs.
  std::string requirement;  ///< ">= 0.95", or empty.
};

/// Tries the inspector on what is exactly known: `count` clean, `count` flawed and `count`
/// mismatched pictures that draw_picture() draws, clean ones after JPEG, noise, blur and under
/// overlays, and pairs of one flaw with two severities. Pictures are shared out over OpenMP
/// threads; the result does not depend on their number, but for the milliseconds.
std::vector<TrialFigure> try_inspector(const world::Inspector& inspector, std::int64_t count,
                                       std::uint64_t seed);

/// @throws Error naming the figures there are if there is none of this name.
const TrialFigure& figure(const std::vector<TrialFigure>& figures, const std::string& name);

/// Whether a figure meets its requirement; true without one.
bool holds(const TrialFigure& figure);

}  // namespace rahf::program
