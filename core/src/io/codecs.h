#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "rahf/core/image.h"

namespace rahf::io {

/// The bytes of a picture, with the name that errors use.
struct Encoded {
  std::span<const std::uint8_t> bytes;
  const std::string& name;
  std::int64_t max_pixels;

  /// @throws FileError "NAME: what"
  [[noreturn]] void fail(const std::string& what) const;
};

/// A decoded picture as it lies in the file, and how it is to be turned.
struct Decoded {
  Image image;
  int orientation = 1;  ///< As in EXIF, 1 to 8.
};

Decoded decode_png(const Encoded& file);
Decoded decode_jpeg(const Encoded& file);
Decoded decode_webp(const Encoded& file);

/// @throws FileError for more pixels than pictures may have, or none.
void check_size(const Encoded& file, std::uint64_t height, std::uint64_t width);

/// Lays `count` RGBA pixels over white, rounding to nearest.
void over_white(const std::uint8_t* rgba, std::size_t count, std::uint8_t* rgb);

/// The orientation in EXIF data (TIFF, with or without the "Exif" mark before it); 1 if it holds
/// none or is broken, as a picture with bad metadata is still a picture.
int exif_orientation(std::span<const std::uint8_t> exif);

/// The picture turned and mirrored upright.
Image upright(Image image, int orientation);

}  // namespace rahf::io
