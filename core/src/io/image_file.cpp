#include "rahf/core/io/image_file.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "codecs.h"
#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"

namespace rahf::io {
namespace {

constexpr int kJpegQuality = 95;
constexpr float kWebpQuality = 90;

std::span<const std::uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

void Encoded::fail(const std::string& what) const { throw FileError(name + ": " + what); }

void check_size(const Encoded& file, std::uint64_t height, std::uint64_t width) {
  const auto most = static_cast<std::uint64_t>(file.max_pixels);
  if (height == 0 || width == 0 || height > most / width) {
    file.fail("a picture must have 1 to " + std::to_string(most) + " pixels, got " +
              std::to_string(height) + " x " + std::to_string(width) +
              (file.max_pixels < kMostPixels ? " (--max-pixels allows more)" : ""));
  }
}

void over_white(const std::uint8_t* rgba, std::size_t count, std::uint8_t* rgb) {
  for (std::size_t i = 0; i < count; ++i, rgba += 4) {
    const int alpha = rgba[3];
    for (int c = 0; c < 3; ++c) {
      *rgb++ = static_cast<std::uint8_t>((rgba[c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
}

Image decode_image(std::span<const std::uint8_t> bytes, const std::string& name,
                   std::int64_t max_pixels) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const Encoded file{bytes, name, max_pixels};
  Decoded decoded;
  if (text.starts_with("\x89PNG\r\n\x1a\n")) {
    decoded = decode_png(file);
  } else if (text.starts_with("\xFF\xD8\xFF")) {
    decoded = decode_jpeg(file);
  } else if (text.size() >= 12 && text.starts_with("RIFF") && text.substr(8, 4) == "WEBP") {
    decoded = decode_webp(file);
  } else {
    file.fail("must be a JPEG, PNG or WebP picture, got something else");
  }
  return upright(std::move(decoded.image), decoded.orientation);
}

Image read_image(const std::filesystem::path& path, std::int64_t max_pixels) {
  return decode_image(as_bytes(read_file(path)), path.string(), max_pixels);
}

void write_image(const std::filesystem::path& path, const Image& image) {
  auto extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  std::vector<std::uint8_t> bytes;
  if (extension == ".png") {
    bytes = encode_png(image);
  } else if (extension == ".jpg" || extension == ".jpeg") {
    bytes = encode_jpeg(image, kJpegQuality);
  } else if (extension == ".webp") {
    bytes = encode_webp(image, kWebpQuality);
  } else {
    throw FileError(path.string() + ": must end in .png, .jpg, .jpeg or .webp");
  }
  write_atomically(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace rahf::io
