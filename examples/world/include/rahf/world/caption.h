#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/world/scene.h"

namespace rahf::world {

// The grammar of captions:
//
//     caption  = group [relation group]
//     group    = ("a" | "two" | "three") ("small" | "large") colour shape
//     relation = "above" | "below" | "left of" | "right of"
//
// Shapes are in the plural after "two" and "three": "two small red circles above a large blue
// star".

/// What a word of a caption speaks of.
enum class WordRole : std::uint8_t { kCount, kSize, kColour, kShape, kRelation };

struct CaptionWord {
  std::string text;
  WordRole role;
  std::int64_t group;  ///< 0 or 1; of the relation's words 0.
};

/// The caption's words in order, as split_words() gives them.
std::vector<CaptionWord> caption_words(const Description& description);
std::string caption(const Description& description);

/// The inverse of caption(). Groups of one colour are accepted too.
/// @return nothing if the text is not a caption of the grammar
std::optional<Description> parse_caption(std::string_view text);

/// Every word that a caption may hold, each once, in a fixed order.
std::vector<std::string> vocabulary();

std::string_view name(Colour colour);
std::string_view name(Shape shape);  ///< In the singular.

}  // namespace rahf::world
