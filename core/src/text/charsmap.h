#pragma once

#include <string>
#include <string_view>

namespace rahf::text {

/// Checks the parts of a SentencePiece model that its library follows without looking: the
/// normalisers' compiled character maps, each a double-array trie whose leaves point into a block
/// of replacement texts.
/// @throws FileError if the file is not a protobuf message or a map leads out of its memory.
void check_charsmaps(std::string_view model, const std::string& where);

}  // namespace rahf::text
