#include <jerror.h>  // NOLINT: these two need <cstdio> before them.
#include <jpeglib.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <memory>

#include "codecs.h"
#include "rahf/core/error.h"
#include "rahf/core/io/image_file.h"

namespace rahf::io {
namespace {

// libjpeg reports errors by longjmp, which must not leap over destructors: functions with a setjmp
// hold nothing that has one; what they work on is owned by Reader or Writer outside.

struct Errors : jpeg_error_mgr {
  std::jmp_buf back;
  char text[JMSG_LENGTH_MAX] = "";
};

[[noreturn]] void leave(j_common_ptr codec) {
  auto* errors = static_cast<Errors*>(codec->err);
  errors->format_message(codec, errors->text);
  std::longjmp(errors->back, 1);
}

// The library patches over damaged data and warns. Here damage is an error, as a picture that is
// half grey is not the picture; what can be read in full is not.
void judge_message(j_common_ptr codec, int level) {
  const int code = codec->err->msg_code;
  const bool harmless =
      code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR;
  if (level < 0 && !harmless) leave(codec);
}

// A small progressive file can ask for so many passes over so many pixels that it never ends.
void limit_passes(j_common_ptr codec) {
  constexpr int kMaxPasses = 500;
  if (reinterpret_cast<j_decompress_ptr>(codec)->input_scan_number <= kMaxPasses) return;
  codec->err->msg_code = JERR_BAD_PROGRESSION;
  leave(codec);
}

void install(Errors& errors) {
  jpeg_std_error(&errors);
  errors.error_exit = leave;
  errors.emit_message = judge_message;
}

struct Reader {
  explicit Reader(std::span<const std::uint8_t> from) : bytes(from) {
    install(errors);
    codec.err = &errors;
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { jpeg_destroy_decompress(&codec); }

  bool read_header() {
    if (setjmp(errors.back) != 0) return false;
    jpeg_create_decompress(&codec);
    jpeg_mem_src(&codec, bytes.data(), bytes.size());
    progress.progress_monitor = limit_passes;
    codec.progress = &progress;
    jpeg_save_markers(&codec, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&codec, TRUE);
    const bool four_inks = codec.jpeg_color_space == JCS_CMYK || codec.jpeg_color_space == JCS_YCCK;
    codec.out_color_space = four_inks ? JCS_CMYK : JCS_RGB;
    return true;
  }

  /// Reads all rows one after another into `pixels`.
  bool read_pixels(std::uint8_t* pixels) {
    if (setjmp(errors.back) != 0) return false;
    jpeg_start_decompress(&codec);
    while (codec.output_scanline < codec.output_height) {
      JSAMPROW row = pixels + std::size_t{codec.output_scanline} * codec.output_width *
                                  codec.output_components;
      jpeg_read_scanlines(&codec, &row, 1);
    }
    jpeg_finish_decompress(&codec);
    return true;
  }

  std::span<const std::uint8_t> bytes;
  jpeg_decompress_struct codec{};
  jpeg_progress_mgr progress{};
  Errors errors{};
};

struct Writer {
  Writer() {
    install(errors);
    codec.err = &errors;
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() {
    jpeg_destroy_compress(&codec);
    std::free(bytes);
  }

  bool write(const Image& image, int quality) {
    if (setjmp(errors.back) != 0) return false;
    jpeg_create_compress(&codec);
    jpeg_mem_dest(&codec, &bytes, &size);
    codec.image_width = static_cast<JDIMENSION>(image.width);
    codec.image_height = static_cast<JDIMENSION>(image.height);
    codec.input_components = 3;
    codec.in_color_space = JCS_RGB;
    jpeg_set_defaults(&codec);
    jpeg_set_quality(&codec, quality, TRUE);
    jpeg_start_compress(&codec, TRUE);
    while (codec.next_scanline < codec.image_height) {
      auto* row = const_cast<JSAMPROW>(image.pixels.data()) +
                  std::size_t{codec.next_scanline} * codec.image_width * 3;
      jpeg_write_scanlines(&codec, &row, 1);
    }
    jpeg_finish_compress(&codec);
    return true;
  }

  jpeg_compress_struct codec{};
  Errors errors{};
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // NOLINT: libjpeg's type
};

// Inks are stored inverted, 255 for none, as Adobe's programs do, which all others follow.
void cmyk_to_rgb(const std::vector<std::uint8_t>& inks, std::uint8_t* rgb) {
  for (std::size_t i = 0; i < inks.size(); i += 4) {
    const int light = inks[i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      // What the ink takes away is rounded, not what is left.
      *rgb++ = static_cast<std::uint8_t>(light - ((255 - inks[i + c]) * light + 127) / 255);
    }
  }
}

int orientation(const jpeg_decompress_struct& codec) {
  for (const auto* marker = codec.marker_list; marker != nullptr; marker = marker->next) {
    const int found = exif_orientation({marker->data, marker->data_length});
    if (found != 1) return found;
  }
  return 1;
}

}  // namespace

Decoded decode_jpeg(const Encoded& file) {
  Reader reader(file.bytes);
  const auto fail = [&] { file.fail(std::string("broken JPEG (") + reader.errors.text + ')'); };
  if (!reader.read_header()) fail();
  const std::size_t height = reader.codec.image_height;
  const std::size_t width = reader.codec.image_width;
  check_size(file, height, width);
  // A Huffman code has a bit or more for each 8 x 8 block, an arithmetic one a 40th of it where all
  // blocks are alike: do not reserve memory for a header that lies.
  const std::size_t pixels_per_byte = reader.codec.arith_code ? 20480 : 512;
  if (height * width / pixels_per_byte > file.bytes.size()) {
    file.fail("broken JPEG (the file is too short for its size)");
  }
  Decoded result{Image(height, width), orientation(reader.codec)};
  if (reader.codec.out_color_space == JCS_CMYK) {
    std::vector<std::uint8_t> inks(height * width * 4);
    if (!reader.read_pixels(inks.data())) fail();
    cmyk_to_rgb(inks, result.image.pixels.data());
  } else if (!reader.read_pixels(result.image.pixels.data())) {
    fail();
  }
  return result;
}

std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality) {
  Writer writer;
  if (!writer.write(image, quality)) {
    throw FileError(std::string("encode_jpeg: ") + writer.errors.text);
  }
  return {writer.bytes, writer.bytes + writer.size};
}

}  // namespace rahf::io
