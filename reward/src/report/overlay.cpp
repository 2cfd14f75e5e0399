#include "rahf/reward/report/overlay.h"

#include <torch/nn/functional/pooling.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <utility>

#include "rahf/core/io/resize.h"
#include "rahf/core/shapes.h"
#include "rahf/core/words.h"

namespace rahf::reward {
namespace {

using draw::Canvas;
using draw::Colour;

constexpr double kStrongest = 0.75;  // alpha of a map at 1

torch::Tensor colour_planes(Colour colour) {
  return torch::tensor({colour.red / 255.F, colour.green / 255.F, colour.blue / 255.F})
      .view({3, 1, 1});
}

// [3, n, W] f32
torch::Tensor rows_of(const Image& picture, std::int64_t begin, std::int64_t end) {
  Image band(end - begin, picture.width);
  std::copy_n(picture.at(begin, 0), band.pixels.size(), band.pixels.begin());
  return to_tensor(band);
}

// A picture of `rows(begin, end)`, [3 or 1, n, W] f32, made some rows at a time: huge pictures cost
// no more memory than they have to.
template <class Rows>
Image in_bands(std::int64_t height, std::int64_t width, const Rows& rows) {
  constexpr std::int64_t kBand = 64;
  Image whole(height, width);
  for (std::int64_t begin = 0; begin < height; begin += kBand) {
    const auto band = to_image(rows(begin, std::min(begin + kBand, height)));
    std::copy(band.pixels.begin(), band.pixels.end(), whole.at(begin, 0));
  }
  return whole;
}

// One character of a prompt, which may be several bytes.
struct Glyph {
  std::string_view utf8;
  bool struck = false;
};
using Line = std::vector<Glyph>;

// Cuts the prompt into glyphs and marks those of missed words; white space becomes one blank.
Line glyphs_of(std::string_view prompt, const std::vector<std::uint8_t>& missed) {
  const auto words = word_spans(prompt);
  Line glyphs;
  std::size_t word = 0;
  for (std::size_t i = 0; i < prompt.size();) {
    std::size_t end = i + 1;
    while (end < prompt.size() && (static_cast<unsigned char>(prompt[end]) & 0xC0U) == 0x80U) ++end;
    while (word < words.size() && words[word].end <= i) ++word;
    const bool in_word = word < words.size() && words[word].begin <= i;
    const bool blank = std::string_view(" \t\r\n\f\v").find(prompt[i]) != std::string_view::npos;
    if (!blank) {
      glyphs.push_back(
          {prompt.substr(i, end - i), in_word && word < missed.size() && missed[word] != 0});
    } else if (!glyphs.empty() && glyphs.back().utf8 != " ") {
      glyphs.push_back({" "});
    }
    i = end;
  }
  return glyphs;
}

// Breaks at blanks, and inside what is longer than a line.
std::vector<Line> wrap(const Line& glyphs, std::int64_t width, std::int64_t scale) {
  const auto room =
      static_cast<std::size_t>(std::max<std::int64_t>(1, width / Canvas::text_width("x", scale)));
  std::vector<Line> lines;
  for (auto begin = glyphs.begin(); begin != glyphs.end();) {
    auto end = begin + std::min<std::ptrdiff_t>(room, glyphs.end() - begin);
    const auto is_blank = [](const Glyph& glyph) { return glyph.utf8 == " "; };
    if (end != glyphs.end() && !is_blank(*end)) {
      const auto blank =
          std::find_if(std::reverse_iterator(end), std::reverse_iterator(begin), is_blank);
      if (blank.base() != begin) end = blank.base() - 1;
    }
    lines.emplace_back(begin, end);
    begin = end != glyphs.end() && is_blank(*end) ? end + 1 : end;
  }
  if (lines.empty()) lines.emplace_back();
  return lines;
}

// From red over amber to green.
Colour score_colour(double score) {
  const auto mix = [](double from, double to, double share) {
    return static_cast<std::uint8_t>(std::lround(from + (to - from) * share));
  };
  const double t = std::clamp(score, 0., 1.);
  if (t < 0.5) return {mix(214, 236, 2 * t), mix(69, 172, 2 * t), mix(65, 48, 2 * t)};
  return {mix(236, 58, 2 * t - 1), mix(172, 158, 2 * t - 1), mix(48, 90, 2 * t - 1)};
}

std::string two_digits(double value) {
  char text[16];
  std::snprintf(text, sizeof(text), "%.2f", value);
  return text;
}

// The places of a map that reach the threshold get an edge in its colour, `thickness` pixels wide,
// and a light rim around it, so that it shows on any picture.
torch::Tensor with_outline(const torch::Tensor& rgb, const torch::Tensor& map, Colour colour,
                           double threshold, std::int64_t thickness) {
  if (!map.defined()) return rgb;
  namespace F = torch::nn::functional;
  const auto grown = [](const torch::Tensor& mask, std::int64_t by) {
    auto x = mask.to(torch::kFloat).unsqueeze(0);
    x = F::max_pool2d(x, F::MaxPool2dFuncOptions({1, 2 * by + 1}).stride(1).padding({0, by}));
    x = F::max_pool2d(x, F::MaxPool2dFuncOptions({2 * by + 1, 1}).stride(1).padding({by, 0}));
    return x[0] > 0;
  };
  const auto smooth = [](const torch::Tensor& heat, std::int64_t by) {
    const auto mean = [](torch::ExpandingArray<2> size, torch::ExpandingArray<2> padding) {
      return F::AvgPool2dFuncOptions(size).stride(1).padding(padding).count_include_pad(false);
    };
    const auto rows = F::avg_pool2d(heat.unsqueeze(0), mean({1, 2 * by + 1}, {0, by}));
    return F::avg_pool2d(rows, mean({2 * by + 1, 1}, {by, 0}))[0];
  };
  // Smoothed, so that the edges of a ragged map are not ragged too.
  const auto inside = smooth(map, std::max<std::int64_t>(1, map.size(1) / 80)) >= threshold;
  const auto rim = grown(inside, 1) & ~inside;
  const auto edge = inside & grown(~inside, thickness);
  return torch::where(edge, colour_planes(colour), torch::where(rim, colour_planes(kPaper), rgb));
}

// Small pictures are enlarged until they can be read, huge ones reduced.
double reading_scale(const Image& picture) {
  constexpr double kNarrowest = 512, kLongest = 1536;
  const auto width = static_cast<double>(picture.width);
  const auto longest = static_cast<double>(std::max(picture.height, picture.width));
  return std::min(std::max(1., kNarrowest / width), std::max(kLongest, kNarrowest) / longest);
}

}  // namespace

Image blend_maps(const Image& picture, const torch::Tensor& implausibility,
                 const torch::Tensor& misalignment) {
  Shapes shapes("blend_maps");
  for (const auto& [name, map] :
       {std::pair("implausibility", implausibility), std::pair("misalignment", misalignment)}) {
    if (map.defined()) shapes.check(name, map, {picture.height, picture.width});
  }
  return in_bands(picture.height, picture.width, [&](std::int64_t begin, std::int64_t end) {
    const auto rgb = rows_of(picture, begin, end);           // [3, n, W]
    auto clear = torch::ones({end - begin, picture.width});  // share of the picture that is seen
    auto weight = torch::zeros_like(clear);
    auto colour = torch::zeros_like(rgb);
    const auto lay = [&](const torch::Tensor& map, Colour map_colour) {
      if (!map.defined()) return;
      const auto alpha = map.slice(0, begin, end) * kStrongest;
      clear = clear * (1 - alpha);
      weight = weight + alpha;
      colour = colour + colour_planes(map_colour) * alpha;
    };
    lay(implausibility, kImplausibleColour);
    lay(misalignment, kMisalignedColour);
    return rgb * clear + colour / weight.clamp_min(1e-6) * (1 - clear);
  });
}

Image paler(const Image& picture, double share) {
  const auto rgb = to_tensor(picture);
  return to_image(torch::lerp(rgb, rgb.mean(0, /*keepdim=*/true), share));
}

Image grey_map(const torch::Tensor& map) {
  return in_bands(map.size(0), map.size(1), [&](std::int64_t begin, std::int64_t end) {
    return map.slice(0, begin, end).unsqueeze(0);
  });
}

std::int64_t draw_prompt(Canvas& canvas, std::int64_t x, std::int64_t y, std::int64_t width,
                         std::string_view prompt, const std::vector<std::uint8_t>& missed,
                         std::int64_t scale) {
  for (const auto& line : wrap(glyphs_of(prompt, missed), width, scale)) {
    auto at = x;
    for (auto run = line.begin(); run != line.end();) {  // of glyphs that look the same
      const auto end = std::find_if(
          run, line.end(), [&](const Glyph& glyph) { return glyph.struck != run->struck; });
      std::string text;
      for (auto glyph = run; glyph != end; ++glyph) text += glyph->utf8;
      if (run->struck) {
        canvas.struck_text(at, y, text, kMissedInk, kImplausibleColour, scale);
      } else {
        canvas.text(at, y, text, kInk, scale);
      }
      at += Canvas::text_width(text, scale);
      run = end;
    }
    y += line_height(scale);
  }
  return y;
}

std::int64_t prompt_height(std::int64_t width, std::string_view prompt, std::int64_t scale) {
  return std::ssize(wrap(glyphs_of(prompt, {}), width, scale)) * line_height(scale);
}

void draw_score(Canvas& canvas, std::int64_t x, std::int64_t y, std::int64_t width,
                std::string_view name, double score, std::optional<double> truth,
                std::int64_t scale) {
  constexpr std::int64_t kValueRoom = 5;  // characters
  const auto cell = Canvas::text_width("x", scale);
  const auto bar_x = x + kScoreNameRoom * cell;
  const auto bar_width = width - (kScoreNameRoom + kValueRoom * (truth ? 2 : 1)) * cell;
  const auto bar_height = 7 * scale;
  const auto length = [&](double value) {
    return std::lround(std::clamp(value, 0., 1.) * static_cast<double>(bar_width));
  };
  canvas.text(x, y, name.substr(0, kScoreNameRoom - 1), kFaintInk, scale);
  canvas.rectangle(bar_x, y, bar_width, bar_height, kTrack);
  canvas.rectangle(bar_x, y, length(score), bar_height, score_colour(score));
  canvas.text(bar_x + bar_width + cell, y, two_digits(score), kInk, scale);
  if (!truth) return;
  canvas.rectangle(bar_x + length(*truth) - scale, y - scale, 2 * scale, bar_height + 2 * scale,
                   kInk);
  canvas.text(bar_x + bar_width + (kValueRoom + 1) * cell, y, two_digits(*truth), kFaintInk, scale);
}

void draw_legend(Canvas& canvas, std::int64_t x, std::int64_t y, std::int64_t scale) {
  for (const auto& [name, colour] :
       {std::pair("implausible", kImplausibleColour), std::pair("misaligned", kMisalignedColour)}) {
    canvas.rectangle(x, y, 7 * scale, 7 * scale, colour);
    canvas.text(x + 10 * scale, y, name, kFaintInk, scale);
    x += 10 * scale + Canvas::text_width(name, scale) + 12 * scale;
  }
}

Image overlay(const Prediction& prediction, const std::vector<std::string>& score_names,
              double threshold) {
  constexpr std::int64_t kNarrowest = 512, kMargin = 16, kScale = 2;
  const auto zoom = reading_scale(prediction.picture);
  const auto zoomed = [zoom](std::int64_t pixels) {
    return std::max<std::int64_t>(1, std::lround(zoom * static_cast<double>(pixels)));
  };
  const auto height = zoomed(prediction.picture.height), width = zoomed(prediction.picture.width);
  const auto enlarged = [&](const torch::Tensor& map) {
    return map.defined() ? io::resize(map.unsqueeze(0), height, width)[0] : map;
  };
  const auto implausible = enlarged(prediction.implausibility);
  const auto misaligned = enlarged(prediction.misalignment);
  const auto base =
      paler(io::resize(prediction.picture, height, width, io::ResizeFilter::kBicubic), 0.5);
  auto marked = to_tensor(blend_maps(base, implausible, misaligned));
  marked = with_outline(marked, implausible, kImplausibleColour, threshold, 2);
  marked = with_outline(marked, misaligned, kMisalignedColour, threshold, 2);

  const auto full_width = std::max(width, kNarrowest);
  const auto text_width = full_width - 2 * kMargin;
  const std::int64_t columns = text_width >= 800 ? 2 : 1;
  const auto column_width = (text_width - (columns - 1) * 2 * kMargin) / columns;
  const auto scores = std::ssize(prediction.scores);
  const auto score_lines = (scores + columns - 1) / columns;
  const auto prompt_lines = prompt_height(text_width, prediction.prompt, kScale);
  const auto full_height =
      height + prompt_lines + (score_lines + 1) * line_height(kScale) + 4 * kMargin;

  Canvas canvas(full_height, full_width, kPaper);
  canvas.rectangle(0, 0, full_width, height, kTrack);
  canvas.image((full_width - width) / 2, 0, to_image(marked));
  auto y = draw_prompt(canvas, kMargin, height + kMargin, text_width, prediction.prompt,
                       prediction.missed_words(threshold), kScale) +
           kMargin;
  for (std::int64_t i = 0; i < scores; ++i) {
    const auto column = i / score_lines, row = i % score_lines;
    draw_score(canvas, kMargin + column * (column_width + 2 * kMargin),
               y + row * line_height(kScale), column_width, score_names.at(i), prediction.scores[i],
               std::nullopt, kScale);
  }
  draw_legend(canvas, kMargin, y + score_lines * line_height(kScale) + kMargin, kScale);
  return canvas.picture();
}

}  // namespace rahf::reward
