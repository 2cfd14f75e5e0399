#include "shape_fit.h"

#include <algorithm>
#include <cmath>

#include "rahf/world/render.h"

namespace rahf::world {
namespace {

/// Per pixel of an outline that is seen.
constexpr float kOutlineWeight = 12;
/// Outlines are looked for within so many pixels of a 64 x 64 picture.
constexpr double kBand = 1.5;

std::size_t kind_of(const Fit& fit) {
  return static_cast<std::size_t>(fit.size) * kNumShapes + static_cast<std::size_t>(fit.shape);
}

Fit fit_of_kind(std::size_t kind, Point centre) {
  return {.shape = static_cast<Shape>(kind % kNumShapes),
          .size = static_cast<Size>(kind / kNumShapes),
          .x = centre.x,
          .y = centre.y};
}

void sort_by_gain(Fits& fits) {
  std::sort(fits.begin(), fits.end(), [](const Fit& a, const Fit& b) { return a.gain > b.gain; });
}

}  // namespace

void ColourShares::take_slopes() {
  right.assign(values.size(), 0);
  down.assign(values.size(), 0);
  for (std::int64_t y = 1; y < side - 1; ++y) {
    for (std::int64_t x = 1; x < side - 1; ++x) {
      const auto i = y * side + x;
      right[i] = (values[i + 1] - values[i - 1]) / 2;
      down[i] = (values[i + side] - values[i - side]) / 2;
    }
  }
}

ShapeFitter::ShapeFitter(std::int64_t side) : side_(side), unit_(static_cast<double>(side) / 64) {
  for (std::int64_t s = 0; s < kNumShapes; ++s) {
    auto& table = distances_[s];
    table.resize((kCells + 1) * (kCells + 1));
    const auto place = [](std::int64_t cell) {
      return kExtent * (2.0 * static_cast<double>(cell) / kCells - 1);
    };
    for (std::int64_t i = 0; i <= kCells; ++i) {
      for (std::int64_t j = 0; j <= kCells; ++j) {
        table[i * (kCells + 1) + j] =
            static_cast<float>(signed_distance(static_cast<Shape>(s), place(j), place(i), 1));
      }
    }
  }
  const auto middle = side / 2;
  for (std::size_t kind = 0; kind < outlines_.size(); ++kind) {
    auto fit =
        fit_of_kind(kind, {static_cast<double>(middle) + 0.5, static_cast<double>(middle) + 0.5});
    ColourShares own(side);
    for_each_pixel(fit, [&](std::int64_t y, std::int64_t x, float covered, float band, float nx,
                            float ny) {
      own.values[y * side + x] = covered;
      if (band <= 0) return;
      outlines_[kind].push_back({static_cast<std::int32_t>(y - middle),
                                 static_cast<std::int32_t>(x - middle), -band * ny, -band * nx});
    });
    own.take_slopes();
    score(own, Criterion::kLeastSquares, fit);
    own_area_[kind] = fit.gain;
    score(own, Criterion::kOutline, fit);
    own_outline_[kind] = fit.gain - own_area_[kind];
  }
}

/// Calls visit(y, x, coverage, weight in the outline's band, outward normal's x and y).
template <class Visit>
void ShapeFitter::for_each_pixel(const Fit& fit, Visit&& visit) const {
  const double radius = radius_of(fit.size) * static_cast<double>(side_);
  const double reach = std::min(kReach * radius + kBand * unit_, 0.999 * kExtent * radius);
  const auto first = [&](double centre) {
    return std::max<std::int64_t>(0, static_cast<std::int64_t>(std::ceil(centre - reach - 0.5)));
  };
  const auto last = [&](double centre) {
    return std::min<std::int64_t>(side_ - 1,
                                  static_cast<std::int64_t>(std::floor(centre + reach - 0.5)));
  };
  const auto& table = distances_[static_cast<std::size_t>(fit.shape)];
  const auto cells_per_radius = static_cast<float>(kCells / (2 * kExtent));
  const auto r = static_cast<float>(radius);
  const auto scale = cells_per_radius / r;
  const auto per_band = static_cast<float>(1 / (kBand * unit_));
  for (auto y = first(fit.y); y <= last(fit.y); ++y) {
    const float row = static_cast<float>(static_cast<double>(y) + 0.5 - fit.y) * scale +
                      static_cast<float>(kCells) / 2;
    const auto i = static_cast<std::int64_t>(row);
    const float down = row - static_cast<float>(i);
    const float* above = &table[i * (kCells + 1)];
    const float* below = above + kCells + 1;
    for (auto x = first(fit.x); x <= last(fit.x); ++x) {
      const float column = static_cast<float>(static_cast<double>(x) + 0.5 - fit.x) * scale +
                           static_cast<float>(kCells) / 2;
      const auto j = static_cast<std::int64_t>(column);
      const float right = column - static_cast<float>(j);
      const float upper_slope = above[j + 1] - above[j], lower_slope = below[j + 1] - below[j];
      const float upper = above[j] + right * upper_slope, lower = below[j] + right * lower_slope;
      const float distance = r * (upper + down * (lower - upper));
      const float covered = std::clamp(0.5F - distance, 0.0F, 1.0F);
      const float band = std::max(0.0F, 1 - std::abs(distance) * per_band);
      visit(y, x, covered, band,
            cells_per_radius * (upper_slope + down * (lower_slope - upper_slope)),
            cells_per_radius * (lower - upper));
    }
  }
}

void ShapeFitter::score(const ColourShares& shares, Criterion criterion, Fit& fit) const {
  const auto kind = kind_of(fit);
  float gain = 0;
  if (criterion == Criterion::kLeastSquares) {
    for_each_pixel(fit, [&](std::int64_t y, std::int64_t x, float covered, auto&&...) {
      gain += covered * (2 * shares.values[y * side_ + x] - covered);
    });
    fit.form = gain / own_area_[kind];
  } else {
    for_each_pixel(
        fit, [&](std::int64_t y, std::int64_t x, float covered, float band, float nx, float ny) {
          const auto i = y * side_ + x;
          gain += covered * (2 * shares.values[i] - covered) -
                  kOutlineWeight * band * (shares.right[i] * nx + shares.down[i] * ny);
        });
    fit.form = gain / (own_area_[kind] + own_outline_[kind]);
  }
  fit.gain = gain;
}

void ShapeFitter::climb(const ColourShares& shares, Criterion criterion, double step, double finest,
                        Fit& fit) const {
  constexpr std::array<std::array<double, 2>, 4> kWays = {{{1, 0}, {-1, 0}, {0, 1}, {0, -1}}};
  constexpr int kMostMoves = 40;
  const auto limit = static_cast<double>(side_);
  score(shares, criterion, fit);
  for (int moves = 0; step >= finest && moves < kMostMoves;) {
    bool moved = false;
    for (const auto& way : kWays) {
      Fit next = fit;
      next.x = std::clamp(fit.x + step * way[0], 0.0, limit);
      next.y = std::clamp(fit.y + step * way[1], 0.0, limit);
      score(shares, criterion, next);
      if (next.gain <= fit.gain) continue;
      fit = next;
      moved = true;
      ++moves;
    }
    if (!moved) step /= 2;
  }
}

Point ShapeFitter::best_outline(const ColourShares& shares, std::size_t kind, Point top_left,
                                Point bottom_right) const {
  const auto clip = [&](double place) {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(place), 0, side_ - 1);
  };
  std::int64_t best_x = clip(top_left.x), best_y = clip(top_left.y);
  float most = -1e30F;
  const auto look = [&](std::int64_t y, std::int64_t x) {
    float sum = 0;
    for (const auto& pixel : outlines_[kind]) {
      const auto v = y + pixel.down, u = x + pixel.right;
      if (v < 0 || u < 0 || v >= side_ || u >= side_) continue;
      const auto i = v * side_ + u;
      sum += pixel.down_weight * shares.down[i] + pixel.right_weight * shares.right[i];
    }
    if (sum <= most) return;
    most = sum;
    best_y = y;
    best_x = x;
  };
  // Every other place first, then the neighbours of the best.
  const auto step = std::max<std::int64_t>(1, static_cast<std::int64_t>(unit_));
  for (auto y = clip(top_left.y); y <= clip(bottom_right.y); y += 2 * step) {
    for (auto x = clip(top_left.x); x <= clip(bottom_right.x); x += 2 * step) look(y, x);
  }
  const auto coarse_y = best_y, coarse_x = best_x;
  for (auto y = coarse_y - step; y <= coarse_y + step; y += step) {
    for (auto x = coarse_x - step; x <= coarse_x + step; x += step) look(y, x);
  }
  return {static_cast<double>(best_x) + 0.5, static_cast<double>(best_y) + 0.5};
}

Fits ShapeFitter::refined(const ColourShares& shares, Criterion criterion, Fits fits) const {
  constexpr std::size_t kRefined = 4;
  sort_by_gain(fits);
  for (std::size_t i = 0; i < kRefined; ++i) climb(shares, criterion, 0.5 * unit_, 0.02, fits[i]);
  sort_by_gain(fits);
  return fits;
}

Fits ShapeFitter::fit(const ColourShares& shares, Point start) const {
  Fits fits;
  for (std::size_t kind = 0; kind < fits.size(); ++kind) {
    fits[kind] = fit_of_kind(kind, start);
    climb(shares, Criterion::kLeastSquares, unit_, 0.5 * unit_, fits[kind]);
  }
  return refined(shares, Criterion::kLeastSquares, fits);
}

Fits ShapeFitter::search(const ColourShares& shares, Point top_left, Point bottom_right,
                         Point start) const {
  Fits fits;
  for (std::size_t kind = 0; kind < fits.size(); ++kind) {
    for (const auto& place : {start, best_outline(shares, kind, top_left, bottom_right)}) {
      auto fit = fit_of_kind(kind, place);
      climb(shares, Criterion::kOutline, unit_, 0.5 * unit_, fit);
      if (fit.gain > fits[kind].gain) fits[kind] = fit;
    }
  }
  return refined(shares, Criterion::kOutline, fits);
}

}  // namespace rahf::world
