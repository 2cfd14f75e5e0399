#include "charsmap.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "rahf/core/error.h"

namespace rahf::text {

namespace {

/// Reads the fields of a protobuf message one after another; only what such a model may hold.
class Fields {
 public:
  struct Field {
    std::uint64_t number;
    std::string_view bytes;  ///< Empty unless length-delimited.
  };
  Fields(std::string_view message, const std::string& where) : rest_(message), where_(where) {}

  std::optional<Field> next() {
    if (rest_.empty()) return {};
    const auto tag = varint();
    Field field{tag >> 3, {}};
    switch (tag & 7) {
      case 0:
        varint();
        break;
      case 1:
        take(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        take(4);
        break;
      default:
        broken("unknown field type");
    }
    return field;
  }

 private:
  [[noreturn]] void broken(const char* what) const {
    throw FileError(where_ + ": not a SentencePiece model (" + what + ")");
  }
  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) broken("a field is longer than the file");
    const auto bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<std::uint8_t>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    broken("a number has too many bytes");
  }

  std::string_view rest_;
  const std::string& where_;
};

// A unit of the double array (Darts-clone): byte that leads here, distance to the children, and
// whether a value lies among them.
bool has_leaf(std::uint32_t unit) { return (unit >> 8) & 1; }
std::uint32_t offset(std::uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }
std::uint32_t label(std::uint32_t unit) { return unit & 0x800000ff; }
std::uint32_t leaf_value(std::uint32_t unit) { return unit & 0x7fffffff; }

constexpr int kMostMatches = 32;  // along one path: what the library has room for
constexpr int kDeepest = 256;     // bytes; real maps have keys of about 20

/// Follows every path through the trie once. Ends of paths are shared, so nodes may be reached
/// twice; a path that comes back to itself is an error.
class Walker {
 public:
  Walker(const std::vector<std::uint32_t>& units, std::size_t text_size)
      : units_(units), text_size_(text_size), matches_(units.size(), kNew) {}

  bool sound() { return matches_from(offset(units_[0]), 0) >= 0; }

 private:
  /// Most values on a path through the children at `base`, or kBroken.
  int matches_from(std::uint32_t base, int depth) {
    if (depth > kDeepest) return kBroken;
    int most = 0;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const auto position = base ^ byte;
      if (position >= units_.size()) return kBroken;
      if (label(units_[position]) != byte) continue;  // also a value: its highest bit is set
      const int matches = matches_through(position, depth);
      if (matches < 0) return kBroken;
      most = std::max(most, matches);
    }
    return most;
  }
  int matches_through(std::uint32_t position, int depth) {
    if (matches_[position] != kNew) return matches_[position];
    matches_[position] = kBroken;  // while it is being followed: meeting it again is a circle
    const auto unit = units_[position];
    const auto children = position ^ offset(unit);
    if (children >= units_.size()) return kBroken;
    if (has_leaf(unit) && leaf_value(units_[children]) >= text_size_) return kBroken;
    const int below = matches_from(children, depth + 1);
    if (below < 0 || below + has_leaf(unit) > kMostMatches) return kBroken;
    return matches_[position] = below + has_leaf(unit);
  }

  static constexpr int kNew = -2, kBroken = -1;
  const std::vector<std::uint32_t>& units_;
  std::size_t text_size_;
  std::vector<int> matches_;  ///< Per unit: most values on a path from it, or one of the above.
};

/// u32 size of the trie, the trie's units, then texts that end with NUL.
void check_charsmap(std::string_view map, const std::string& where) {
  const auto require = [&](bool holds) {
    if (!holds) throw FileError(where + ": the normaliser's character map is broken");
  };
  if (map.empty()) return;
  std::uint32_t trie_bytes = 0;
  require(map.size() > sizeof trie_bytes);
  std::memcpy(&trie_bytes, map.data(), sizeof trie_bytes);
  map.remove_prefix(sizeof trie_bytes);
  require(trie_bytes > 0 && trie_bytes % sizeof(std::uint32_t) == 0 && trie_bytes < map.size());
  std::vector<std::uint32_t> units(trie_bytes / sizeof(std::uint32_t));
  std::memcpy(units.data(), map.data(), trie_bytes);
  const auto texts = map.substr(trie_bytes);
  require(texts.back() == '\0');
  require(Walker(units, texts.size()).sound());
}

}  // namespace

void check_charsmaps(std::string_view model, const std::string& where) {
  constexpr std::uint64_t kNormalizer = 3, kDenormalizer = 5, kCharsmap = 2;
  Fields fields(model, where);
  while (const auto field = fields.next()) {
    if (field->number != kNormalizer && field->number != kDenormalizer) continue;
    Fields spec(field->bytes, where);
    while (const auto part = spec.next()) {
      if (part->number == kCharsmap) check_charsmap(part->bytes, where);
    }
  }
}

}  // namespace rahf::text
