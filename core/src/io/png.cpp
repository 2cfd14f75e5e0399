#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>

#include "codecs.h"
#include "rahf/core/error.h"
#include "rahf/core/io/image_file.h"

namespace rahf::io {
namespace {

// libpng reports errors by longjmp, which must not leap over destructors: between setjmp and the
// calls into libpng there are only the members of these two, whose owners live outside.

struct Message {
  char text[128] = "";
};

[[noreturn]] void on_error(png_structp png, png_const_charp what) {
  auto* message = static_cast<Message*>(png_get_error_ptr(png));
  std::strncpy(message->text, what, sizeof(message->text) - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

struct Reader {
  explicit Reader(std::span<const std::uint8_t> bytes)
      : png(png_create_read_struct(PNG_LIBPNG_VER_STRING, &message, on_error, on_warning)),
        info(png_create_info_struct(png)),
        rest(bytes) {
    png_set_read_fn(png, this, [](png_structp from, png_bytep to, png_size_t count) {
      auto& reader = *static_cast<Reader*>(png_get_io_ptr(from));
      if (count > reader.rest.size()) png_error(from, "the file is cut off");
      std::memcpy(to, reader.rest.data(), count);
      reader.rest = reader.rest.subspan(count);
    });
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }

  /// @return whether the header could be read
  bool read_header() {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    png_read_info(png, info);
    // 8-bit RGB or RGBA, whatever is in the file; of 16 bits the upper 8.
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    raw_row_bytes = png_get_rowbytes(png, info);
    png_read_update_info(png, info);
    return true;
  }

  bool read_pixels(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    png_read_image(png, rows);
    png_read_end(png, info);
    return true;
  }

  Message message;
  png_structp png;
  png_infop info;
  std::span<const std::uint8_t> rest;
  std::size_t raw_row_bytes = 0;  ///< Of one row before it was compressed.
};

struct Writer {
  Writer()
      : png(png_create_write_struct(PNG_LIBPNG_VER_STRING, &message, on_error, on_warning)),
        info(png_create_info_struct(png)) {
    png_set_write_fn(
        png, this,
        [](png_structp to, png_bytep data, png_size_t count) {
          auto& writer = *static_cast<Writer*>(png_get_io_ptr(to));
          writer.bytes.insert(writer.bytes.end(), data, data + count);
        },
        nullptr);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { png_destroy_write_struct(&png, &info); }

  bool write(const Image& image, png_bytepp rows) {
    if (setjmp(png_jmpbuf(png)) != 0) return false;
    png_set_IHDR(png, info, static_cast<png_uint_32>(image.width),
                 static_cast<png_uint_32>(image.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    png_write_image(png, rows);
    png_write_end(png, info);
    return true;
  }

  Message message;
  png_structp png;
  png_infop info;
  std::vector<std::uint8_t> bytes;
};

}  // namespace

Decoded decode_png(const Encoded& file) {
  Reader reader(file.bytes);
  const auto fail = [&] { file.fail(std::string("broken PNG (") + reader.message.text + ')'); };
  if (!reader.read_header()) fail();
  const std::size_t height = png_get_image_height(reader.png, reader.info);
  const std::size_t width = png_get_image_width(reader.png, reader.info);
  check_size(file, height, width);
  // Deflate shrinks to 1/1032 at best: do not reserve memory for a header that lies.
  if (reader.raw_row_bytes * height / 1032 > file.bytes.size()) {
    file.fail("broken PNG (the file is too short for its size)");
  }

  const std::size_t channels = png_get_channels(reader.png, reader.info);
  Decoded result{Image(height, width)};
  std::vector<std::uint8_t> rgba(channels == 4 ? height * width * 4 : 0);
  auto* pixels = channels == 4 ? rgba.data() : result.image.pixels.data();
  std::vector<png_bytep> rows(height);
  for (std::size_t y = 0; y < height; ++y) rows[y] = pixels + y * width * channels;
  if (!reader.read_pixels(rows.data())) fail();
  if (channels == 4) over_white(rgba.data(), height * width, result.image.pixels.data());

  png_uint_32 exif_size = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(reader.png, reader.info, &exif_size, &exif) != 0) {
    result.orientation = exif_orientation({exif, exif_size});
  }
  return result;
}

std::vector<std::uint8_t> encode_png(const Image& image) {
  std::vector<png_bytep> rows(image.height);
  for (std::int64_t y = 0; y < image.height; ++y) {
    rows[y] = const_cast<png_bytep>(image.pixels.data()) + y * image.width * 3;
  }
  Writer writer;
  if (!writer.write(image, rows.data())) {
    throw FileError(std::string("encode_png: ") + writer.message.text);
  }
  return std::move(writer.bytes);
}

}  // namespace rahf::io
