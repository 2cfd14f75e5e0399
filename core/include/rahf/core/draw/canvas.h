#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "rahf/core/image.h"

namespace rahf::draw {

/// An 8-bit colour; alpha 255 covers what is below it, 0 is not seen.
struct Colour {
  std::uint8_t red = 0;
  std::uint8_t green = 0;
  std::uint8_t blue = 0;
  std::uint8_t alpha = 255;
  bool operator==(const Colour&) const = default;
};

/// A picture to draw charts, labels and contact sheets on. Coordinates are pixels from the top-left
/// corner, x to the right and y down; whatever lies outside is cut off. Alpha is blended.
///
/// Text is a built-in bitmap font for ASCII: glyphs of 5 x 8 pixels in cells of 6 x 9, enlarged by
/// a whole `scale`. Another character (one UTF-8 sequence) is drawn as an empty box.
class Canvas {
 public:
  Canvas(std::int64_t height, std::int64_t width, Colour background);
  /// Draws on a picture that exists.
  explicit Canvas(Image picture) : picture_(std::move(picture)) {}

  /// Fills pixels [x, x + width) x [y, y + height).
  void rectangle(std::int64_t x, std::int64_t y, std::int64_t width, std::int64_t height,
                 Colour colour);
  /// The outline of that rectangle, one pixel wide, inside it.
  void frame(std::int64_t x, std::int64_t y, std::int64_t width, std::int64_t height,
             Colour colour);
  /// A straight line, both ends included, `thickness` pixels wide. No pixel is blended twice.
  void line(std::int64_t x0, std::int64_t y0, std::int64_t x1, std::int64_t y1, Colour colour,
            std::int64_t thickness = 1);

  /// One line of text whose top-left corner is (x, y).
  void text(std::int64_t x, std::int64_t y, std::string_view text, Colour colour,
            std::int64_t scale = 1);
  /// The same with a line through it, in `strike`.
  void struck_text(std::int64_t x, std::int64_t y, std::string_view text, Colour colour,
                   Colour strike, std::int64_t scale = 1);
  /// Pixels from the start of a text to where a text behind it would start.
  static std::int64_t text_width(std::string_view text, std::int64_t scale = 1);
  /// Pixels from one line of text to the next.
  static std::int64_t text_height(std::int64_t scale = 1) { return 9 * scale; }

  /// Lays a picture over this one, each of its pixels as a square of `scale` x `scale`.
  /// @param alpha  0 (not seen) to 255 (covers)
  void image(std::int64_t x, std::int64_t y, const Image& image, std::int64_t scale = 1,
             std::uint8_t alpha = 255);

  Image& picture() { return picture_; }
  const Image& picture() const { return picture_; }

 private:
  Image picture_;
};

}  // namespace rahf::draw
