#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rahf/core/options.h"

namespace rahf::world {

/// A part of the captions of one group, always the same.
enum class CaptionPart {
  kAll,
  kLearn,    ///< Three of four: what generators are trained and finetuned on.
  kHeldOut,  ///< One of four, for judging. Every pair of words of these is in kLearn, too.
};

/// Captions of one group ("two small red circles"): 288, or 216 to learn from and 72 held out.
std::vector<std::string> captions_of_one_group(CaptionPart part = CaptionPart::kAll);

}  // namespace rahf::world

template <>
struct rahf::EnumNames<rahf::world::CaptionPart> {
  using Part = rahf::world::CaptionPart;
  static constexpr std::array<std::pair<Part, std::string_view>, 3> value = {
      {{Part::kAll, "all"}, {Part::kLearn, "learn"}, {Part::kHeldOut, "held-out"}}};
};
