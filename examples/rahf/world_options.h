#pragma once

#include <string>

#include "rahf/core/options.h"
#include "rahf/world/preset.h"

namespace rahf::program {

/// A closed world as verbs take it: a preset, and single options that win over it.
struct WorldChoice {
  world::Preset preset = world::Preset::kFull;
  world::WorldOptions options;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("preset", self.preset,
          "full, for rewards, or easy, for tiny generators: one group, no flaws, .6 mismatched; "
          "single options win over it");
    world::WorldOptions::fields(self.options, visit);
  }

  /// Takes from the preset what was not given.
  /// @param prefix  of the fields' names
  void complete(const CommandLine::Parsed& parsed, const std::string& prefix = {}) {
    auto base = world::world_options(preset);
    const auto from = option_fields(base), to = option_fields(options);
    for (std::size_t i = 0; i < to.size(); ++i) {
      if (!parsed.was_given(prefix + to[i].name)) to[i].set(from[i].get());
    }
  }
};

}  // namespace rahf::program
