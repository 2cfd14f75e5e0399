#include <cstring>
#include <utility>

#include "codecs.h"

namespace rahf::io {
namespace {

/// Numbers in a block of bytes of either byte order; zero outside of it.
class Numbers {
 public:
  Numbers(std::span<const std::uint8_t> bytes, bool big_endian)
      : bytes_(bytes), big_endian_(big_endian) {}

  std::uint32_t at(std::size_t offset, std::size_t size) const {
    if (offset > bytes_.size() || bytes_.size() - offset < size) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value = value << 8 | bytes_[offset + (big_endian_ ? i : size - 1 - i)];
    }
    return value;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  bool big_endian_;
};

}  // namespace

int exif_orientation(std::span<const std::uint8_t> exif) {
  constexpr std::size_t kMark = 6;
  if (exif.size() >= kMark && std::memcmp(exif.data(), "Exif\0\0", kMark) == 0) {
    exif = exif.subspan(kMark);
  }
  if (exif.size() < 8) return 1;
  const bool big_endian = std::memcmp(exif.data(), "MM\0*", 4) == 0;
  if (!big_endian && std::memcmp(exif.data(), "II*\0", 4) != 0) return 1;

  const Numbers numbers(exif, big_endian);
  constexpr std::size_t kEntry = 12;  // Tag, type, count, value.
  constexpr std::uint32_t kOrientation = 0x0112;
  constexpr std::uint32_t kShort = 3;
  const std::size_t directory = numbers.at(4, 4);
  const std::size_t entries = numbers.at(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const auto entry = directory + 2 + i * kEntry;
    if (numbers.at(entry, 2) != kOrientation || numbers.at(entry + 2, 2) != kShort) continue;
    const auto value = numbers.at(entry + 8, 2);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image upright(Image image, int orientation) {
  if (orientation == 1) return image;
  // The upright pixel (y, x) is the stored one of row y and column x, or of row x and column y,
  // either counted from the other end.
  const bool transposed = orientation >= 5;
  const bool rows_from_end =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const bool columns_from_end = orientation == 2 || orientation == 3 || orientation >= 7;
  Image turned(transposed ? image.width : image.height, transposed ? image.height : image.width);
  for (std::int64_t y = 0; y < turned.height; ++y) {
    for (std::int64_t x = 0; x < turned.width; ++x) {
      auto row = transposed ? x : y;
      auto column = transposed ? y : x;
      if (rows_from_end) row = image.height - 1 - row;
      if (columns_from_end) column = image.width - 1 - column;
      std::memcpy(turned.at(y, x), image.at(row, column), 3);
    }
  }
  return turned;
}

}  // namespace rahf::io
