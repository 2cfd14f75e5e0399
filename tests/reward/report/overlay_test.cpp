#include "rahf/reward/report/overlay.h"

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::Image;
using rahf::draw::Canvas;
using rahf::reward::blend_maps;
using rahf::reward::draw_prompt;
using rahf::reward::kImplausibleColour;
using rahf::reward::kInk;
using rahf::reward::kMisalignedColour;
using rahf::reward::kPaper;

namespace {

std::vector<int> pixel(const Image& image, std::int64_t y, std::int64_t x) {
  const auto* p = image.at(y, x);
  return {p[0], p[1], p[2]};
}

std::int64_t count(const Image& image, rahf::draw::Colour colour) {
  std::int64_t found = 0;
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
    found += image.pixels[i] == colour.red && image.pixels[i + 1] == colour.green &&
             image.pixels[i + 2] == colour.blue;
  }
  return found;
}

rahf::reward::Prediction prediction_of(std::int64_t height, std::int64_t width) {
  rahf::reward::Prediction prediction;
  prediction.picture = Image(height, width);
  prediction.prompt = "no cat, a dog";
  prediction.scores = {0.1, 0.4, 0.6, 1};
  prediction.implausibility = torch::zeros({height, width});
  prediction.misalignment = torch::zeros({height, width});
  prediction.words = {"no", "cat", "a", "dog"};
  prediction.word_misaligned = {0, 0.9, 0, 0};
  return prediction;
}

const std::vector<std::string> kNames = {"plausibility", "alignment", "aesthetics", "overall"};

}  // namespace

TEST_CASE("blend_maps leaves a picture without heat as it is", "[reward][overlay]") {
  Image picture(2, 3);
  for (std::size_t i = 0; i < picture.pixels.size(); ++i) {
    picture.pixels[i] = static_cast<std::uint8_t>(13 * i);
  }
  CHECK(blend_maps(picture, torch::zeros({2, 3}), torch::zeros({2, 3})) == picture);
  CHECK(blend_maps(picture, {}, {}) == picture);
}

TEST_CASE("blend_maps draws three quarters of a map's colour where the map is 1",
          "[reward][overlay]") {
  const Image black(1, 3);
  const auto left = torch::tensor({{1.F, 0.F, 1.F}}), right = torch::tensor({{0.F, 1.F, 1.F}});
  const auto blended = blend_maps(black, left, right);
  // 0.75 * {226, 26, 28} and 0.75 * {28, 92, 230}, rounded (a half to even)
  CHECK(pixel(blended, 0, 0) == std::vector<int>{170, 20, 21});
  CHECK(pixel(blended, 0, 1) == std::vector<int>{21, 69, 172});
  // Both: the mean colour {127, 59, 129} covers 1 - 0.25^2 of the picture.
  CHECK(pixel(blended, 0, 2) == std::vector<int>{119, 55, 121});
}

TEST_CASE("blend_maps refuses a map of another size", "[reward][overlay][errors]") {
  REQUIRE_THROWS_MATCHES(blend_maps(Image(2, 3), torch::zeros({3, 2}), {}), rahf::ShapeError,
                         Says("blend_maps: implausibility must be [2, 3], got [3, 2]"));
}

TEST_CASE("grey_map writes 1 as white", "[reward][overlay]") {
  const auto grey = rahf::reward::grey_map(torch::tensor({{0.F, 0.2F, 1.F}}));
  CHECK(pixel(grey, 0, 0) == std::vector<int>{0, 0, 0});
  CHECK(pixel(grey, 0, 1) == std::vector<int>{51, 51, 51});
  CHECK(pixel(grey, 0, 2) == std::vector<int>{255, 255, 255});
}

TEST_CASE("draw_prompt strikes out the missed words and no others", "[reward][overlay]") {
  const std::string prompt = "one, two; one";
  const auto drawn = [&](std::string_view text, const std::vector<std::uint8_t>& missed) {
    Canvas canvas(40, 200, kPaper);
    draw_prompt(canvas, 0, 0, 200, text, missed, 1);
    return canvas.picture();
  };
  CHECK(count(drawn(prompt, {}), kImplausibleColour) == 0);
  CHECK(count(drawn(prompt, {0, 0, 0}), kImplausibleColour) == 0);

  Canvas expected(40, 200, kPaper);  // the last word, its like at the start untouched
  expected.text(0, 0, "one, two; ", kInk);
  expected.struck_text(Canvas::text_width("one, two; "), 0, "one", rahf::reward::kMissedInk,
                       kImplausibleColour);
  CHECK(drawn(prompt, {0, 0, 1}) == expected.picture());
}

TEST_CASE("draw_prompt breaks lines at blanks, and words that are longer than a line",
          "[reward][overlay]") {
  const auto cell = Canvas::text_width("x");
  const auto lines = [&](std::string_view text, std::int64_t characters) {
    Canvas canvas(200, characters * cell, kPaper);
    const auto bottom = draw_prompt(canvas, 0, 0, characters * cell, text, {}, 1);
    CHECK(bottom == rahf::reward::prompt_height(characters * cell, text, 1));
    return bottom / rahf::reward::line_height(1);
  };
  CHECK(lines("aaa bbb ccc", 11) == 1);
  CHECK(lines("aaa bbb ccc", 10) == 2);
  CHECK(lines("aaa bbb ccc", 7) == 2);
  CHECK(lines("aaa bbb\n\n  ccc", 3) == 3);
  CHECK(lines("aaaaaaa", 3) == 3);
  CHECK(lines("\xC3\xA4\xC3\xB6\xC3\xBC\xC3\x9F", 4) == 1);  // four characters in eight bytes
  CHECK(lines("", 4) == 1);
}

TEST_CASE("overlay enlarges small pictures until they can be read", "[reward][overlay]") {
  const auto small = rahf::reward::overlay(prediction_of(64, 64), kNames, 0.5);
  CHECK(small.width == 512);
  CHECK(small.height > 512);
  const auto wide = rahf::reward::overlay(prediction_of(512, 1024), kNames, 0.5);
  CHECK(wide.width == 1024);
  CHECK(wide.height > 512);
  CHECK(wide.height < 800);
  const auto huge = rahf::reward::overlay(prediction_of(3000, 2000), kNames, 0.5);
  CHECK(huge.width == 1024);
  const auto thin = rahf::reward::overlay(prediction_of(2000, 3), kNames, 0.5);
  CHECK(thin.width == 512);
  CHECK(thin.height < 2000);
}

TEST_CASE("overlay outlines the places that reach the threshold", "[reward][overlay]") {
  auto prediction = prediction_of(64, 64);
  prediction.misalignment.slice(0, 20, 40).slice(1, 20, 40) = 0.6;
  const auto pixels = [&](double threshold) {
    const auto drawn = rahf::reward::overlay(prediction, kNames, threshold);
    Image top(512, 512);  // without the caption, whose legend has the colour too
    std::copy_n(drawn.pixels.begin(), top.pixels.size(), top.pixels.begin());
    return count(top, kMisalignedColour);
  };
  CHECK(pixels(0.7) == 0);
  CHECK(pixels(0.5) > 4 * 150);  // a square of 160 pixels a side, two pixels wide
}

TEST_CASE("overlay does without maps, words and scores that a reward does not offer",
          "[reward][overlay]") {
  rahf::reward::Prediction prediction;
  prediction.picture = Image(64, 64);
  CHECK(rahf::reward::overlay(prediction, {}, 0.5).width == 512);
}
