#pragma once

#include <cstdint>
#include <vector>

#include "rahf/world/inspector.h"
#include "shape_fit.h"

namespace rahf::world {

/// The best scene for a picture, found colour by colour and object by object.
struct Explanation {
  Rgb background = kBackground;
  std::vector<SeenObject> objects;  ///< Largest first.
  Canvas ideal{0};                  ///< The drawn objects on the world's background.
};

class Explainer {
 public:
  explicit Explainer(std::int64_t side) : side_(side), fitter_(side) {}

  /// @param image  side x side
  Explanation explain(const Image& image) const;

 private:
  std::int64_t side_;
  ShapeFitter fitter_;
};

}  // namespace rahf::world
