#include "rahf/core/io/image_file.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/safetensors.h"
#include "support/broken_files.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using rahf::FileError;
using rahf::Image;
using rahf::io::decode_image;

namespace {

using Bytes = std::vector<std::uint8_t>;

// Pictures and what Pillow decodes them to, from tools/fixtures/make_image_fixtures.py.
const rahf::io::TensorMap& fixtures() {
  static const auto all =
      rahf::io::read_safetensors(rahf::test::fixtures() / "io/pictures.safetensors").tensors;
  return all;
}

Bytes file(const std::string& name) {
  const auto& tensor = fixtures().at(name + "/file");
  const auto* data = tensor.const_data_ptr<std::uint8_t>();
  return {data, data + tensor.numel()};
}

Image reference(const std::string& name) {
  const auto& tensor = fixtures().at(name + "/rgb");
  Image image(tensor.size(0), tensor.size(1));
  std::memcpy(image.pixels.data(), tensor.const_data_ptr(), image.pixels.size());
  return image;
}

std::vector<std::string> names(const std::string& kind) {
  std::vector<std::string> all;
  for (const auto& [key, tensor] : fixtures()) {
    if (key.starts_with(kind) && key.ends_with("/rgb"))
      all.push_back(key.substr(0, key.size() - 4));
  }
  return all;
}

int max_difference(const Image& a, const Image& b) {
  REQUIRE(a.height == b.height);
  REQUIRE(a.width == b.width);
  int worst = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) {
    worst = std::max(worst, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return worst;
}

Image gradient(std::int64_t height, std::int64_t width) {
  Image image(height, width);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      image.at(y, x)[0] = static_cast<std::uint8_t>(255 * y / height);
      image.at(y, x)[1] = static_cast<std::uint8_t>(255 * x / width);
      image.at(y, x)[2] = 77;
    }
  }
  return image;
}

// Decoding either works or throws FileError; anything else fails the test or the sanitizer.
bool decodes(const std::string& bytes) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.data());
  try {
    decode_image({data, bytes.size()}, "broken");
    return true;
  } catch (const FileError&) {
    return false;
  }
}

std::string text(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

}  // namespace

TEST_CASE("decode_image gives Pillow's pixels for every kind of PNG", "[core][image_file]") {
  REQUIRE(names("png/").size() >= 24);
  for (const auto& name : names("png/")) {
    INFO(name);
    CHECK(decode_image(file(name), name) == reference(name));
  }
}

TEST_CASE("decode_image gives Pillow's pixels for JPEG and WebP", "[core][image_file]") {
  // Equal with libjpeg-turbo and libwebp as of Debian 12; other versions of the codecs may round
  // differently where they interpolate colours.
  for (const auto& name : names("jpeg/")) {
    INFO(name);
    CHECK(max_difference(decode_image(file(name), name), reference(name)) <= 2);
  }
  for (const auto& name : names("webp/")) {
    INFO(name);
    CHECK(max_difference(decode_image(file(name), name), reference(name)) <= 2);
  }
}

TEST_CASE("decode_image turns pictures upright as EXIF says", "[core][image_file]") {
  const auto stored = decode_image(file("jpeg/orientation1"), "stored");
  const auto turned = [](int orientation) {
    const auto name = "jpeg/orientation" + std::to_string(orientation);
    return decode_image(file(name), name);
  };
  const auto first = [&](const Image& image) {
    return std::vector<int>(image.at(0, 0), image.at(0, 0) + 3);
  };
  const auto pixel = [&](std::int64_t y, std::int64_t x) {
    return std::vector<int>(stored.at(y, x), stored.at(y, x) + 3);
  };
  const auto bottom = stored.height - 1;
  const auto right = stored.width - 1;
  CHECK(first(turned(2)) == pixel(0, right));
  CHECK(first(turned(3)) == pixel(bottom, right));
  CHECK(first(turned(4)) == pixel(bottom, 0));
  CHECK(first(turned(5)) == pixel(0, 0));
  CHECK(first(turned(6)) == pixel(bottom, 0));
  CHECK(first(turned(7)) == pixel(bottom, right));
  CHECK(first(turned(8)) == pixel(0, right));
  CHECK(turned(6).height == stored.width);
  CHECK(turned(9) == stored);  // There is no such orientation.
}

TEST_CASE("Encoded pictures decode to what they were", "[core][image_file]") {
  const auto [height, width] = GENERATE(table<int, int>({{1, 1}, {17, 9}, {40, 64}}));
  const auto image = gradient(height, width);
  CHECK(decode_image(rahf::io::encode_png(image), "png") == image);
  CHECK(max_difference(decode_image(rahf::io::encode_jpeg(image, 100), "jpeg"), image) <= 12);
  CHECK(max_difference(decode_image(rahf::io::encode_webp(image, 100), "webp"), image) <= 12);
}

TEST_CASE("A lower JPEG and WebP quality makes a smaller file", "[core][image_file]") {
  const auto image = gradient(64, 64);
  CHECK(rahf::io::encode_jpeg(image, 10).size() < rahf::io::encode_jpeg(image, 95).size());
  CHECK(rahf::io::encode_webp(image, 10).size() < rahf::io::encode_webp(image, 95).size());
}

TEST_CASE("write_image writes the format that the extension names", "[core][image_file]") {
  const ScratchFolder folder;
  const auto image = gradient(12, 10);
  const auto begins = [&](const std::string& name) {
    rahf::io::write_image(folder / name, image);
    CHECK(rahf::io::read_image(folder / name).width == image.width);
    return rahf::io::read_file(folder / name).substr(0, 4);
  };
  CHECK(begins("a.png") == "\x89PNG");
  CHECK(begins("a.JPG").substr(0, 3) == "\xFF\xD8\xFF");
  CHECK(begins("a.jpeg").substr(0, 3) == "\xFF\xD8\xFF");
  CHECK(begins("new/folder/a.webp") == "RIFF");
  REQUIRE_THROWS_MATCHES(rahf::io::write_image(folder / "a.gif", image), FileError,
                         Says("a.gif: must end in .png, .jpg, .jpeg or .webp"));
}

TEST_CASE("decode_image names what it cannot decode", "[core][image_file][errors]") {
  const auto decode = [](const std::string& bytes) {
    decode_image({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, "x.png");
  };
  REQUIRE_THROWS_MATCHES(decode(""), FileError, Says("x.png: must be a JPEG, PNG or WebP"));
  REQUIRE_THROWS_MATCHES(decode("GIF89a"), FileError, Says("x.png: must be a JPEG, PNG or WebP"));
  REQUIRE_THROWS_MATCHES(decode("RIFF"), FileError, Says("must be a JPEG, PNG or WebP"));
  auto png = text(file("png/rgb8"));
  REQUIRE_THROWS_MATCHES(decode(png.substr(0, png.size() / 2)), FileError,
                         Says("x.png: broken PNG (the file is cut off)"));
  REQUIRE_THROWS_MATCHES(decode(text(file("jpeg/420")).substr(0, 400)), FileError,
                         Says("x.png: broken JPEG"));
  REQUIRE_THROWS_MATCHES(rahf::io::read_image("/nowhere/x.png"), FileError,
                         Says("/nowhere/x.png: cannot be opened"));
}

TEST_CASE("decode_image refuses headers that claim absurd sizes", "[core][image_file][errors]") {
  // Width and height stand at byte 16 of a PNG, with the header's checksum behind them.
  const auto sized = [](std::uint32_t width, std::uint32_t height, std::uint32_t crc) {
    auto bytes = file("png/rgb8");
    const std::uint32_t values[] = {width, height};
    for (int i = 0; i < 8; ++i) {
      bytes[16 + i] = static_cast<std::uint8_t>(values[i / 4] >> (24 - 8 * (i % 4)));
    }
    for (int i = 0; i < 4; ++i) bytes[29 + i] = static_cast<std::uint8_t>(crc >> (24 - 8 * i));
    return bytes;
  };
  constexpr auto kMost = rahf::io::kMostPixels;
  REQUIRE_THROWS_MATCHES(decode_image(sized(16384, 16385, 0xEDF65476), "big", kMost), FileError,
                         Says("big: a picture must have 1 to 268435456 pixels, got 16385 x 16384"));
  REQUIRE_THROWS_MATCHES(decode_image(sized(16000, 16000, 0xCE1C4889), "big", kMost), FileError,
                         Says("too short for its size"));
  REQUIRE_THROWS_MATCHES(
      decode_image(sized(16000, 16000, 0xCE1C4889), "big"), FileError,
      Says("must have 1 to 33554432 pixels, got 16000 x 16000 (--max-pixels allows more)"));
  const auto small = rahf::io::encode_png(Image(10, 12));
  CHECK(decode_image(small, "small", 120).width == 12);
  REQUIRE_THROWS_MATCHES(decode_image(small, "small", 119), FileError, Says("1 to 119 pixels"));

  // Those of a JPEG stand in its frame header (marker FFC0), 5 bytes in.
  auto jpeg = file("jpeg/420");
  const auto frame = std::search(jpeg.begin(), jpeg.end(), "\xFF\xC0", "\xFF\xC0" + 2,
                                 [](auto a, auto b) { return a == std::uint8_t(b); });
  REQUIRE(frame != jpeg.end());
  std::copy_n("\x3F\xFF\x3F\xFF", 4, frame + 5);
  REQUIRE_THROWS_MATCHES(decode_image(jpeg, "big", std::int64_t{1} << 32), FileError,
                         Says("too short for its size"));
  std::copy_n("\xFF\xDC\xFF\xDC", 4, frame + 5);
  REQUIRE_THROWS_MATCHES(decode_image(jpeg, "big"), FileError, Says("big: "));
}

TEST_CASE("decode_image refuses every picture that is cut off", "[core][image_file][errors]") {
  for (const auto* name : {"png/rgb8_filtered", "png/palette4_transparent", "png/grey2_interlaced",
                           "jpeg/420", "jpeg/progressive", "jpeg/orientation6", "webp/lossless",
                           "webp/lossy_alpha", "webp/orientation8"}) {
    for_each_prefix(text(file(name)), [&](const std::string& part, std::size_t size) {
      INFO(name << " cut off after " << size << " bytes");
      CHECK_FALSE(decodes(part));
    });
  }
}

TEST_CASE("decode_image survives flipped bits", "[core][image_file][errors]") {
  for (const auto* name : {"png/palette4_transparent", "png/orientation6", "jpeg/orientation6",
                           "jpeg/one_pixel", "webp/lossless_alpha", "webp/orientation8"}) {
    int refused = 0;
    for_each_bit_flip(text(file(name)), [&](const std::string& broken, std::size_t) {
      if (!decodes(broken)) ++refused;
    });
    INFO(name);
    CHECK(refused > 0);
  }
}
