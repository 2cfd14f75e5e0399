#pragma once

#include <cstdint>

#include "rahf/core/image.h"
#include "rahf/world/inspector.h"

namespace rahf::program {

/// A sheet of closed-world pictures, each with its caption, the scene by which the inspector
/// explains it, both maps, and scores beside the truth. The first is clean; then comes every kind
/// of flaw, every kind of mismatch, a picture with both, one under a grid, and the same again.
/// @param count  pictures; > 0
Image contact_sheet(const world::Inspector& inspector, std::int64_t count, std::uint64_t seed);

}  // namespace rahf::program
