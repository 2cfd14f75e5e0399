#include "rahf/world/captions_of_one_group.h"

#include "rahf/world/caption.h"

namespace rahf::world {

std::vector<std::string> captions_of_one_group(CaptionPart part) {
  constexpr std::int64_t kOneOf = 4;
  std::vector<std::string> captions;
  for (std::int64_t count = 1; count <= kMaxCount; ++count) {
    for (std::int64_t size = 0; size < kNumSizes; ++size) {
      for (std::int64_t colour = 0; colour < kNumColours; ++colour) {
        for (std::int64_t shape = 0; shape < kNumShapes; ++shape) {
          const bool held_out = (count + 2 * size + colour + shape) % kOneOf == 0;
          if (part != CaptionPart::kAll && held_out != (part == CaptionPart::kHeldOut)) continue;
          captions.push_back(caption({.first = {.count = count,
                                                .size = static_cast<Size>(size),
                                                .colour = static_cast<Colour>(colour),
                                                .shape = static_cast<Shape>(shape)},
                                      .second = {}}));
        }
      }
    }
  }
  return captions;
}

}  // namespace rahf::world
