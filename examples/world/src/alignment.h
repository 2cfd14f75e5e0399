#pragma once

#include <vector>

#include "rahf/world/inspector.h"

namespace rahf::world {

/// Explains what is seen by what was asked for: every object stands for a group of the caption, or
/// is one too many, such that the score is highest. Sets the objects' groups.
/// @return an alignment without its map
Alignment align(const Description& asked, std::vector<SeenObject>& objects);

/// How far an object is concerned by what differs, in [0, 1], one per object. For objects that
/// align() has seen.
std::vector<double> concerns(const Description& asked, const std::vector<SeenObject>& objects);

}  // namespace rahf::world
