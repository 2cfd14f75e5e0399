#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "rahf/core/options.h"
#include "rahf/world/picture.h"

namespace rahf::world {

/// Closed worlds with a purpose.
enum class Preset {
  kFull,  ///< For rewards: one or two groups, half of the pictures flawed, half mismatched.
  kEasy,  ///< For tiny generators and their finetuning: one group, no flaws, and .6 of the pictures
          ///< not as their caption says: right and wrong answers are then modes of what a generator
          ///< learns, and a reward can move mass between them.
};

WorldOptions world_options(Preset preset);

}  // namespace rahf::world

template <>
struct rahf::EnumNames<rahf::world::Preset> {
  static constexpr std::array<std::pair<rahf::world::Preset, std::string_view>, 2> value = {
      {{rahf::world::Preset::kFull, "full"}, {rahf::world::Preset::kEasy, "easy"}}};
};
