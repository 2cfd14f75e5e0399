#include "rahf/reward/report/plot.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rahf/core/draw/canvas.h"

namespace rahf::reward {
namespace {

using draw::Canvas;
using draw::Colour;

constexpr Colour kPaper{255, 255, 255};
constexpr Colour kInk{40, 44, 52};
constexpr Colour kFaint{215, 218, 224};
constexpr Colour kBar{66, 118, 190};

constexpr std::int64_t kChartWidth = 300;
constexpr std::int64_t kChartHeight = 200;
constexpr std::int64_t kMargin = 14;
constexpr std::int64_t kAxisWidth = 30;  // Of the numbers left of the bars.
constexpr std::int64_t kTitleHeight = 22;
constexpr std::int64_t kLabelHeight = 14;

void draw_histogram(Canvas& canvas, const Histogram& histogram, std::int64_t left,
                    std::int64_t top) {
  const auto x = left + kMargin + kAxisWidth;
  const auto y = top + kMargin + kTitleHeight;
  const auto width = kChartWidth - 2 * kMargin - kAxisWidth;
  const auto height = kChartHeight - 2 * kMargin - kTitleHeight - kLabelHeight;
  canvas.text(left + kMargin, top + kMargin, histogram.title, kInk);
  canvas.line(x, y + height, x + width - 1, y + height, kInk);
  const auto bars = std::ssize(histogram.counts);
  if (histogram.total() == 0) {
    canvas.text(x, y + height / 2, "nothing to count", kInk);
    return;
  }

  const auto most = *std::max_element(histogram.counts.begin(), histogram.counts.end());
  const double tallest = static_cast<double>(most) / static_cast<double>(histogram.total());
  for (const double part : {0.5, 1.0}) {
    const auto line = y + height - std::llround(part * static_cast<double>(height));
    const auto percent = std::to_string(std::lround(100 * part * tallest)) + '%';
    canvas.line(x, line, x + width - 1, line, kFaint);
    canvas.text(x - 4 - Canvas::text_width(percent), line - 4, percent, kInk);
  }
  // Every label, or every second, third ...: as many as do not run into each other.
  std::int64_t widest = 0;
  for (const auto& label : histogram.labels) {
    widest = std::max(widest, Canvas::text_width(label) + 4);
  }
  const auto stride = (widest * bars + width - 1) / width;
  for (std::int64_t i = 0; i < bars; ++i) {
    const auto from = x + i * width / bars, to = x + (i + 1) * width / bars;
    const auto tall =
        std::llround(static_cast<double>(histogram.counts[i] * height) / static_cast<double>(most));
    canvas.rectangle(from + 1, y + height - tall, std::max<std::int64_t>(to - from - 2, 1), tall,
                     kBar);
    const auto& label = histogram.labels[i];
    if (i % stride != 0) continue;
    canvas.text((from + to - Canvas::text_width(label)) / 2, y + height + 4, label, kInk);
  }
}

}  // namespace

std::int64_t Histogram::total() const {
  return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
}

double Histogram::share(std::size_t i) const {
  const auto all = total();
  return all == 0 ? 0 : static_cast<double>(counts.at(i)) / static_cast<double>(all);
}

Image draw_histograms(const std::vector<Histogram>& histograms, std::int64_t columns) {
  const auto rows = (std::ssize(histograms) + columns - 1) / columns;
  Canvas canvas(rows * kChartHeight, columns * kChartWidth, kPaper);
  for (std::int64_t i = 0; i < std::ssize(histograms); ++i) {
    draw_histogram(canvas, histograms[i], i % columns * kChartWidth, i / columns * kChartHeight);
  }
  return std::move(canvas.picture());
}

}  // namespace rahf::reward
