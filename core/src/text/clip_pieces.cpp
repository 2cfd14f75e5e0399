#include "clip_pieces.h"

#include <utf8proc.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "rahf/core/error.h"

namespace rahf::text {

namespace {

using CodePoint = utf8proc_int32_t;

struct Character {
  CodePoint code = 0;
  WordSpan source;
};

/// The code point at `at`, which moves behind it.
CodePoint next(std::string_view text, std::size_t& at, std::size_t offset) {
  CodePoint code = 0;
  const auto size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                     static_cast<utf8proc_ssize_t>(text.size() - at), &code);
  if (size < 0) {
    throw ConfigError("ClipTokenizer: text must be UTF-8, got other bytes at byte " +
                      std::to_string(offset + at));
  }
  at += static_cast<std::size_t>(size);
  return code;
}

std::string composed(std::string_view text) {
  utf8proc_uint8_t* result = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &result,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(result, &std::free);
  if (size < 0) throw ConfigError(std::string("ClipTokenizer: ") + utf8proc_errmsg(size));
  return {reinterpret_cast<const char*>(result), static_cast<std::size_t>(size)};
}

/// Composed and in lower case. No composition joins an ASCII character to what stands before it,
/// so each begins a stretch that is composed on its own; a stretch that changes is the source of
/// all its characters.
std::vector<Character> characters(std::string_view text, std::size_t offset) {
  std::vector<Character> all;
  const auto add = [&](CodePoint code, WordSpan source) {
    constexpr CodePoint kDottedI = 0x130, kDot = 0x307;  // the one lower case of two characters
    all.push_back({code == kDottedI ? 'i' : utf8proc_tolower(code), source});
    if (code == kDottedI) all.push_back({kDot, source});
  };
  for (std::size_t begin = 0; begin < text.size();) {
    auto end = begin;
    do {
      next(text, end, offset);
    } while (end < text.size() && (text[end] & 0x80) != 0);
    const auto stretch = text.substr(begin, end - begin);
    const auto result = stretch.size() == 1 ? std::string(stretch) : composed(stretch);
    const bool same = result == stretch;
    for (std::size_t at = 0; at < result.size();) {
      const auto first = at;
      const auto code = next(result, at, offset);
      add(code, same ? WordSpan{offset + begin + first, offset + begin + at}
                     : WordSpan{offset + begin, offset + end});
    }
    begin = end;
  }
  return all;
}

enum class Kind { kSpace, kLetter, kNumber, kOther };

Kind kind(CodePoint code) {
  switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return Kind::kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return Kind::kNumber;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return Kind::kSpace;
    default:  // Unicode's White_Space outside these categories
      return (code >= '\t' && code <= '\r') || code == 0x85 ? Kind::kSpace : Kind::kOther;
  }
}

constexpr std::array<std::string_view, 7> kContractions = {"'s", "'t",  "'re", "'ve",
                                                           "'m", "'ll", "'d"};
/// The special tokens as text: what is upper case in a prompt is not taken for the token itself.
constexpr std::array<std::string_view, 2> kSpecial = {"<|startoftext|>", "<|endoftext|>"};

/// Characters of the one of these that stands at `at`, or 0.
template <std::size_t N>
std::size_t length_of(const std::array<std::string_view, N>& candidates,
                      const std::vector<Character>& text, std::size_t at) {
  for (const auto candidate : candidates) {
    std::size_t same = 0;
    while (same < candidate.size() && at + same < text.size() &&
           text[at + same].code == candidate[same]) {
      ++same;
    }
    if (same == candidate.size()) return same;
  }
  return 0;
}

}  // namespace

std::vector<ClipPiece> clip_pieces(std::string_view text, std::size_t offset) {
  const auto all = characters(text, offset);
  std::vector<ClipPiece> pieces;
  std::size_t special_end = 0;
  for (std::size_t begin = 0; begin < all.size();) {
    if (begin >= special_end) special_end = begin + length_of(kSpecial, all, begin);
    const auto stop = begin < special_end ? special_end : all.size();
    const auto first = kind(all[begin].code);
    auto end = begin + length_of(kContractions, all, begin);
    if (end == begin) {
      do {
        ++end;
      } while (first != Kind::kNumber && end < stop && kind(all[end].code) == first);
    }
    if (first != Kind::kSpace) {
      ClipPiece piece;
      for (auto i = begin; i < end; ++i) {
        std::array<utf8proc_uint8_t, 4> bytes{};
        const auto size = utf8proc_encode_char(all[i].code, bytes.data());
        piece.bytes.append(reinterpret_cast<const char*>(bytes.data()),
                           static_cast<std::size_t>(size));
        piece.sources.resize(piece.bytes.size(), all[i].source);
      }
      pieces.push_back(std::move(piece));
    }
    begin = end;
  }
  return pieces;
}

}  // namespace rahf::text
