#include "rahf/core/reward.h"

#include <c10/util/StringUtil.h>

#include "rahf/core/shapes.h"

namespace rahf {

void check_pictures(std::string_view where, const torch::Tensor& images, const Prompts& prompts,
                    torch::Device device, torch::Dtype dtype) {
  Shapes(where).check("images", images, {"B", 3, "H", "W"});
  if (images.scalar_type() != dtype) {
    throw ShapeError(c10::str(where, ": images must be ", dtype, " RGB in [0, 1], got ",
                              images.scalar_type(),
                              images.scalar_type() == torch::kByte
                                  ? " (divide 8-bit pictures by 255, as to_tensor() does)"
                                  : ""));
  }
  if (images.size(2) == 0 || images.size(3) == 0) {
    throw ShapeError(c10::str(where, ": images must have pixels, got ", images.sizes()));
  }
  const auto on = images.device();
  const bool same = on.type() == device.type() &&
                    (on.index() == device.index() || !on.has_index() || !device.has_index());
  if (!same) {
    throw ShapeError(
        c10::str(where, ": images must be on the reward's device ", device, ", got ", on));
  }
  if (images.size(0) != std::ssize(prompts)) {
    throw ShapeError(c10::str(where, ": prompts must be as many as images (", images.size(0),
                              "), got ", prompts.size()));
  }
}

}  // namespace rahf
