#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "rahf/core/image.h"

namespace rahf::io {

/// Pictures of more pixels are refused unless the caller allows them: a few kilobytes of file can
/// ask for gigabytes of memory. Enough for 7680 x 4320.
inline constexpr std::int64_t kMaxPixels = std::int64_t{1} << 25;
/// The most that may be allowed.
inline constexpr std::int64_t kMostPixels = std::int64_t{1} << 28;

/// Decodes a JPEG, PNG or WebP picture into 8-bit RGB: grey and palette are expanded, of 16 bits
/// the upper 8 are taken, transparent pixels are laid over white, EXIF orientation is applied. All
/// as Pillow does, but that Pillow clips 16-bit grey.
/// @param name        what error messages call the picture
/// @param max_pixels  in [1, kMostPixels]
/// @throws FileError for anything that is not such a picture, is broken or cut off, or has more
///         than `max_pixels` pixels.
Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name,
                   std::int64_t max_pixels = kMaxPixels);

/// @throws FileError if the file cannot be read or decoded.
Image read_image(const std::filesystem::path& path, std::int64_t max_pixels = kMaxPixels);

std::vector<std::uint8_t> encode_png(const Image& image);
/// @param quality  1 (worst) to 100
std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality);
/// @param quality  0 (worst) to 100
std::vector<std::uint8_t> encode_webp(const Image& image, float quality);

/// Writes in the format that the extension names (.png, .jpg, .jpeg, .webp), atomically.
/// @throws FileError for another extension, or if the file cannot be written.
void write_image(const std::filesystem::path& path, const Image& image);

}  // namespace rahf::io
