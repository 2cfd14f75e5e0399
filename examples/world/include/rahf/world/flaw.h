#pragma once

#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "rahf/world/render.h"
#include "rahf/world/scene.h"

namespace rahf::world {

/// A way for an object to look wrong, whatever the caption says. Sizes grow with the severity.
enum class Flaw : std::uint8_t {
  kBite,   ///< A round piece of the object is background.
  kLimb,   ///< A bar in the object's colour grows out of it.
  kSplit,  ///< Cut through the centre; one half is shifted along the cut and away from it.
  kSmear,  ///< Part of the edge is dragged outwards.
  kNoise,  ///< A round patch of random colours.
  kBleed,  ///< Another colour runs over the edge, inside and outside.
};
inline constexpr std::int64_t kNumFlaws = 6;
std::string_view name(Flaw kind);

struct AppliedFlaw {
  Flaw kind = Flaw::kBite;
  std::int64_t object = 0;  ///< Index into Scene::objects.
  double severity = 1;      ///< In [kMinSeverity, 1].
};
inline constexpr double kMinSeverity = 0.3;

/// A pixel counts as changed if a channel differs by at least this many of 255 levels.
inline constexpr int kVisibleChange = 16;
/// Every flaw changes at least this many pixels of a 64 x 64 picture; others in proportion.
inline constexpr std::int64_t kMinChanged = 12;

/// Pixels that differ visibly between two pictures of one size.
Mask changed_pixels(const Image& before, const Image& after);

/// Draws one flaw at a random place of the object. No check that it is visible.
void apply(Canvas& canvas, const Scene& scene, const AppliedFlaw& flaw, std::mt19937_64& engine);

/// A scene's picture with flaws.
struct Damaged {
  Image image;
  Mask mask;  ///< changed_pixels() between the clean picture and this.
  std::vector<AppliedFlaw> flaws;
  double plausibility = 1;  ///< Product over flaws of 1 - 0.8 severity.
};

/// Renders the scene and adds `num_flaws` (0, 1 or 2) visible flaws at random: on different
/// objects, or of different kinds on the only one.
Damaged damage(const Scene& scene, std::int64_t size, std::int64_t num_flaws,
               std::mt19937_64& engine);

}  // namespace rahf::world
