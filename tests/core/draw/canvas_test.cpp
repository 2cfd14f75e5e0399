#include "rahf/core/draw/canvas.h"

#include <set>
#include <string>

#include "support/catch.h"

using rahf::Image;
using rahf::draw::Canvas;
using rahf::draw::Colour;

namespace {

constexpr Colour kBlack{0, 0, 0};
constexpr Colour kWhite{255, 255, 255};

/// Red of every pixel, row by row.
std::vector<int> reds(const Image& image) {
  std::vector<int> values;
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) values.push_back(image.pixels[i]);
  return values;
}

std::int64_t marked(const Canvas& canvas) {
  std::int64_t count = 0;
  for (const int red : reds(canvas.picture())) count += red != 0;
  return count;
}

}  // namespace

TEST_CASE("Canvas fills the part of a rectangle that is on it", "[core][canvas]") {
  Canvas canvas(2, 3, kBlack);
  canvas.rectangle(-5, 1, 7, 100, {9, 8, 7});
  CHECK(reds(canvas.picture()) == std::vector<int>{0, 0, 0, 9, 9, 0});
  CHECK(canvas.picture().at(1, 0)[2] == 7);
  canvas.rectangle(3, 0, 5, 5, kWhite);
  canvas.rectangle(0, 0, 0, 5, kWhite);
  canvas.rectangle(0, 0, -3, 5, kWhite);
  CHECK(marked(canvas) == 2);
}

TEST_CASE("Canvas blends by alpha", "[core][canvas]") {
  Canvas canvas(1, 1, {100, 0, 0});
  canvas.rectangle(0, 0, 1, 1, {200, 0, 0, 0});
  CHECK(canvas.picture().at(0, 0)[0] == 100);
  canvas.rectangle(0, 0, 1, 1, {200, 0, 0, 51});  // a fifth
  CHECK(canvas.picture().at(0, 0)[0] == 120);
  canvas.image(0, 0, Image(1, 1), 1, 51);
  CHECK(canvas.picture().at(0, 0)[0] == 96);
}

TEST_CASE("Canvas draws lines from end to end, no pixel twice", "[core][canvas]") {
  Canvas canvas(5, 5, kBlack);
  const Colour faint{255, 255, 255, 85};  // Twice on one pixel would be more than 85.
  const auto [x0, y0, x1, y1] = GENERATE(std::array{0, 0, 4, 4}, std::array{4, 1, 0, 3},
                                         std::array{2, 4, 2, 0}, std::array{0, 3, 4, 3});
  canvas.line(x0, y0, x1, y1, faint);
  const auto values = reds(canvas.picture());
  CHECK(marked(canvas) == 5);
  CHECK(*std::max_element(values.begin(), values.end()) == 85);
  CHECK(canvas.picture().at(y0, x0)[0] == 85);
  CHECK(canvas.picture().at(y1, x1)[0] == 85);
  canvas.line(x0, y0, x1, y1, kWhite, 3);
  CHECK(marked(canvas) >= 13);
}

TEST_CASE("Canvas::line draws a point where both ends are one", "[core][canvas]") {
  Canvas canvas(3, 3, kBlack);
  canvas.line(1, 1, 1, 1, kWhite);
  CHECK(marked(canvas) == 1);
  canvas.line(-1000000, 7, 1000000, 7, kWhite);
  CHECK(marked(canvas) == 1);
}

TEST_CASE("Canvas::frame draws each pixel of the outline once", "[core][canvas]") {
  const auto height = GENERATE(1, 2, 3, 4), width = GENERATE(1, 2, 5);
  Canvas canvas(6, 6, kBlack);
  canvas.frame(0, 0, width, height, {255, 255, 255, 85});
  CHECK(marked(canvas) == width * height - std::max(0, width - 2) * std::max(0, height - 2));
  for (const int red : reds(canvas.picture())) CHECK((red == 0 || red == 85));
}

TEST_CASE("Canvas draws a glyph of its own for every ASCII character", "[core][canvas]") {
  std::set<std::vector<int>> seen;
  for (char character = ' '; character < 127; ++character) {
    Canvas canvas(9, 6, kBlack);
    canvas.text(0, 0, std::string(1, character), kWhite);
    CHECK((marked(canvas) > 0) == (character != ' '));
    seen.insert(reds(canvas.picture()));
    for (std::int64_t y = 0; y < 9; ++y) CHECK(canvas.picture().at(y, 5)[0] == 0);
  }
  CHECK(seen.size() == 95);
}

TEST_CASE("Canvas::text draws an L", "[core][canvas]") {
  Canvas canvas(8, 5, kBlack);
  canvas.text(0, 0, "L", {1, 0, 0});
  CHECK(reds(canvas.picture()) == std::vector<int>{1, 0, 0, 0, 0,  //
                                                   1, 0, 0, 0, 0,  //
                                                   1, 0, 0, 0, 0,  //
                                                   1, 0, 0, 0, 0,  //
                                                   1, 0, 0, 0, 0,  //
                                                   1, 0, 0, 0, 0,  //
                                                   1, 1, 1, 1, 1,  //
                                                   0, 0, 0, 0, 0});
  Canvas large(24, 15, kBlack);
  large.text(0, 0, "L", kWhite, 3);
  CHECK(marked(large) == 9 * 11);
}

TEST_CASE("Canvas counts an UTF-8 sequence as one character", "[core][canvas]") {
  CHECK(Canvas::text_width("") == 0);
  CHECK(Canvas::text_width("ab", 2) == 24);
  CHECK(Canvas::text_width("a\xC3\xB6") == 12);
  CHECK(Canvas::text_width("\xE2\x86\x92") == 6);
  Canvas one(9, 12, kBlack), other(9, 12, kBlack);
  one.text(0, 0, "\xC3\xB6", kWhite);
  other.text(0, 0, "\xE2\x86\x92", kWhite);
  CHECK(one.picture() == other.picture());
  CHECK(marked(one) == 20);
}

TEST_CASE("Canvas::struck_text draws a line through the whole word", "[core][canvas]") {
  Canvas canvas(9, 20, kBlack);
  canvas.struck_text(1, 0, "abc", kWhite, {255, 0, 0});
  for (std::int64_t x = 0; x < 19; ++x) {
    CHECK(canvas.picture().at(3, x)[0] == 255);
    CHECK(canvas.picture().at(3, x)[1] == 0);
  }
}

TEST_CASE("Canvas::image enlarges and cuts a picture", "[core][canvas]") {
  Image small(2, 2);
  small.pixels = {1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0};
  Canvas canvas(3, 3, kBlack);
  canvas.image(-1, -1, small, 2);
  CHECK(reds(canvas.picture()) == std::vector<int>{1, 2, 2, 3, 4, 4, 3, 4, 4});
}
