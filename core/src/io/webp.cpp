#include <webp/decode.h>
#include <webp/encode.h>

#include <cstring>
#include <memory>

#include "codecs.h"
#include "rahf/core/error.h"
#include "rahf/core/io/image_file.h"

namespace rahf::io {
namespace {

struct Free {
  void operator()(std::uint8_t* pixels) const { WebPFree(pixels); }
};
using Pixels = std::unique_ptr<std::uint8_t, Free>;

constexpr std::size_t kChunkHeader = 8;  // Name and size of a chunk.

std::size_t chunk_size(const std::uint8_t* header) {
  return header[4] | header[5] << 8 | header[6] << 16 | std::size_t{header[7]} << 24;
}

// The content of the container's EXIF chunk, or nothing.
std::span<const std::uint8_t> exif_chunk(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t kFirstChunk = 12;  // Behind the header of RIFF and "WEBP".
  for (std::size_t at = kFirstChunk; bytes.size() >= at && bytes.size() - at >= kChunkHeader;) {
    const auto* header = bytes.data() + at;
    const auto size = chunk_size(header);
    at += kChunkHeader;
    if (size > bytes.size() - at) break;
    if (std::memcmp(header, "EXIF", 4) == 0) return bytes.subspan(at, size);
    at += size + size % 2;
  }
  return {};
}

}  // namespace

Decoded decode_webp(const Encoded& file) {
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(file.bytes.data(), file.bytes.size(), &features) != VP8_STATUS_OK) {
    file.fail("broken WebP");
  }
  if (features.has_animation != 0) file.fail("must be a still picture, got an animated WebP");
  if (chunk_size(file.bytes.data()) > file.bytes.size() - kChunkHeader) {
    file.fail("broken WebP (the file is cut off)");
  }
  check_size(file, features.height, features.width);
  int width = 0;
  int height = 0;
  const Pixels rgba(WebPDecodeRGBA(file.bytes.data(), file.bytes.size(), &width, &height));
  if (rgba == nullptr) file.fail("broken WebP");
  Decoded result{Image(height, width), exif_orientation(exif_chunk(file.bytes))};
  over_white(rgba.get(), std::size_t(height) * width, result.image.pixels.data());
  return result;
}

std::vector<std::uint8_t> encode_webp(const Image& image, float quality) {
  std::uint8_t* encoded = nullptr;
  const auto size = WebPEncodeRGB(image.pixels.data(), static_cast<int>(image.width),
                                  static_cast<int>(image.height), static_cast<int>(image.width * 3),
                                  quality, &encoded);
  const Pixels owner(encoded);
  if (size == 0) throw FileError("encode_webp: the picture must have 1 to 16383 pixels a side");
  return {encoded, encoded + size};
}

}  // namespace rahf::io
