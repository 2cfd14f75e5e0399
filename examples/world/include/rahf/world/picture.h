#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "rahf/core/image.h"
#include "rahf/core/random.h"
#include "rahf/world/annotator.h"
#include "rahf/world/scene.h"
#include "rahf/world/truth.h"

namespace rahf::world {

struct WorldOptions {
  std::int64_t size = 64;
  double flawed_share = 0.5;
  double mismatched_share = 0.5;
  double two_group_share = 0.65;
  std::int64_t annotators = 3;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("size", self.size, "height and width of a picture, pixels; in [32, 256]");
    visit("flawed_share", self.flawed_share, "share of pictures with one or two flaws; in [0, 1]");
    visit("mismatched_share", self.mismatched_share,
          "share of pictures that differ from their caption in one or two ways; in [0, 1]");
    visit("two_group_share", self.two_group_share,
          "share of captions with two groups of objects; in [0, 1]");
    visit("annotators", self.annotators, "people who judge each picture; in [0, 27]");
  }
  /// @throws ConfigError naming the option that is out of range.
  void validate() const;
};

/// A picture with all that is known about it.
struct WorldPicture {
  Description asked;   ///< What the caption says.
  std::string prompt;  ///< caption(asked)
  Scene shown;         ///< What the picture shows, flaws apart.
  Image image;
  Truth truth;
  std::vector<Annotation> annotations;  ///< By different people.
};

/// The picture with this index in the endless sequence that options and seed stand for.
/// Thread-safe; does not depend on other pictures.
WorldPicture draw_picture(const WorldOptions& options, const Randomness& random,
                          std::int64_t index);

/// A picture for what a caption says.
WorldPicture draw_picture_of(const Description& asked, const WorldOptions& options,
                             std::mt19937_64& engine);

}  // namespace rahf::world
