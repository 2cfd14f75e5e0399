#include "rahf/world/preset.h"

namespace rahf::world {

WorldOptions world_options(Preset preset) {
  if (preset == Preset::kEasy) {
    return {.flawed_share = 0, .mismatched_share = 0.6, .two_group_share = 0};
  }
  return {};
}

}  // namespace rahf::world
