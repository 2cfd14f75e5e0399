#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rahf {

/// Where the text stops being UTF-8 (RFC 3629: no surrogates, no overlong forms): the offset of the
/// first byte that does not belong, or npos.
std::size_t find_not_utf8(std::string_view text);

inline bool is_utf8(std::string_view text) { return find_not_utf8(text) == std::string_view::npos; }

/// The text as a terminal may show it: control characters, DEL and C1 included, and bytes that are
/// not UTF-8 become `\xNN`.
std::string printable(std::string_view text);

/// The longest beginning of at most `bytes` bytes that does not cut a character.
std::string_view utf8_prefix(std::string_view text, std::size_t bytes);

}  // namespace rahf
