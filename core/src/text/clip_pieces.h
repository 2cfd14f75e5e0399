#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/words.h"

namespace rahf::text {

/// A part of a text that byte pair encoding merges on its own.
struct ClipPiece {
  std::string bytes;              ///< UTF-8, composed and in lower case.
  std::vector<WordSpan> sources;  ///< Per byte: the bytes of the text that it came from.
};

/// Composes (NFC) and lower-cases, then splits as CLIP does:
/// `'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+`.
/// @param offset  added to the places in `sources`
/// @throws ConfigError if the text is not UTF-8.
std::vector<ClipPiece> clip_pieces(std::string_view text, std::size_t offset = 0);

}  // namespace rahf::text
