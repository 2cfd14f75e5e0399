#include "rahf/reward/report/report_sheet.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "rahf/core/draw/canvas.h"
#include "rahf/core/io/resize.h"
#include "rahf/core/judgement.h"
#include "rahf/reward/report/overlay.h"

namespace rahf::reward {
namespace {

using draw::Canvas;

constexpr std::int64_t kTile = 216, kGap = 16, kMargin = 24, kScale = 2;
constexpr std::int64_t kTiles = 5;
constexpr std::int64_t kTextWidth = 620;
const std::int64_t kLabelWidth = kScoreNameRoom * Canvas::text_width("x", kScale);
const std::int64_t kPromptWidth = kTextWidth - kLabelWidth;
constexpr std::int64_t kTextX = kMargin + kTiles * (kTile + kGap) + kGap / 2;

std::int64_t tile_x(std::int64_t column) { return kMargin + column * (kTile + kGap); }

// The largest picture of the same proportions that fits a tile.
Image fit(const Image& picture) {
  const double scale =
      static_cast<double>(kTile) / static_cast<double>(std::max(picture.height, picture.width));
  const auto fitted = [scale](std::int64_t pixels) {
    return std::max<std::int64_t>(1, std::lround(scale * static_cast<double>(pixels)));
  };
  return io::resize(picture, fitted(picture.height), fitted(picture.width),
                    io::ResizeFilter::kBicubic);
}

void draw_tile(Canvas& canvas, std::int64_t column, std::int64_t y, const Image& image) {
  const auto x = tile_x(column);
  canvas.image(x + (kTile - image.width) / 2, y + (kTile - image.height) / 2, image);
  canvas.frame(x, y, kTile, kTile, kTrack);
}

// The picture in grey under one map of any size and type.
Image map_tile(const Image& fitted, const torch::Tensor& map, std::size_t which) {
  const auto grey = paler(fitted, 1);
  if (!map.defined()) return grey;
  auto shown = map.is_floating_point() ? map : map.to(torch::kFloat) / 255;
  shown = io::resize(shown.unsqueeze(0), fitted.height, fitted.width)[0];
  return which == 0 ? blend_maps(grey, shown, {}) : blend_maps(grey, {}, shown);
}

std::int64_t draw_marked_prompt(Canvas& canvas, std::int64_t y, std::string_view label,
                                std::string_view prompt, const std::vector<std::uint8_t>& missed) {
  canvas.text(kTextX, y, label, kFaintInk, kScale);
  return draw_prompt(canvas, kTextX + kLabelWidth, y, kPromptWidth, prompt, missed, kScale) + kGap;
}

std::optional<double> true_score(const Sample& truth, std::string_view name) {
  const auto it = std::find(kScoreNames.begin(), kScoreNames.end(), name);
  if (it == kScoreNames.end() || truth.prompt.empty()) return {};
  return truth.scores[static_cast<std::size_t>(it - kScoreNames.begin())];
}

std::int64_t row_height(const ReportRow& row) {
  const auto text = 2 * (prompt_height(kPromptWidth, row.prediction.prompt, kScale) + kGap) +
                    std::ssize(row.prediction.scores) * line_height(kScale);
  return std::max(kTile, text);
}

void draw_row(Canvas& canvas, std::int64_t top, const ReportRow& row,
              const std::vector<std::string>& score_names, double threshold) {
  const auto& [prediction, truth] = row;
  const auto fitted = fit(prediction.picture);
  draw_tile(canvas, 0, top, fitted);
  draw_tile(canvas, 1, top, map_tile(fitted, prediction.implausibility, 0));
  draw_tile(canvas, 3, top, map_tile(fitted, prediction.misalignment, 1));
  if (row.judged_by_people()) {
    draw_tile(canvas, 2, top, map_tile(fitted, truth.implausibility, 0));
    draw_tile(canvas, 4, top, map_tile(fitted, truth.misalignment, 1));
  }

  auto y = draw_marked_prompt(canvas, top, "predicted", prediction.prompt,
                              prediction.missed_words(threshold));
  if (row.judged_by_people()) {
    y = draw_marked_prompt(canvas, y, "people", truth.prompt, truth.misaligned_words);
  }
  for (std::size_t k = 0; k < prediction.scores.size(); ++k, y += line_height(kScale)) {
    const auto& name = score_names.at(k);
    draw_score(canvas, kTextX, y, kTextWidth, name, prediction.scores[k], true_score(truth, name),
               kScale);
  }
}

void draw_head(Canvas& canvas) {
  const auto map_title = [&](std::int64_t column, std::string_view name, draw::Colour colour) {
    const auto x = tile_x(column);
    canvas.rectangle(x, kMargin, 7 * kScale, 7 * kScale, colour);
    canvas.text(x + 10 * kScale, kMargin, name, kInk, kScale);
    canvas.text(x, kMargin + line_height(kScale), "predicted", kFaintInk, kScale);
    canvas.text(tile_x(column + 1), kMargin + line_height(kScale), "people", kFaintInk, kScale);
  };
  canvas.text(tile_x(0), kMargin, "picture", kInk, kScale);
  map_title(1, "implausible", kImplausibleColour);
  map_title(3, "misaligned", kMisalignedColour);
  canvas.text(kTextX, kMargin, "prompt, missed words struck out", kInk, kScale);
  canvas.text(kTextX, kMargin + line_height(kScale), "scores: bar predicted, | people", kFaintInk,
              kScale);
}

}  // namespace

Image report_sheet(const std::vector<ReportRow>& rows, const std::vector<std::string>& score_names,
                   double threshold) {
  const auto head = kMargin + 2 * line_height(kScale) + kGap / 2;
  auto height = head + kMargin;
  for (const auto& row : rows) height += row_height(row) + kGap;
  Canvas canvas(height, kTextX + kTextWidth + kMargin, kPaper);
  draw_head(canvas);
  auto y = head;
  for (const auto& row : rows) {
    draw_row(canvas, y, row, score_names, threshold);
    y += row_height(row) + kGap;
  }
  return canvas.picture();
}

}  // namespace rahf::reward
