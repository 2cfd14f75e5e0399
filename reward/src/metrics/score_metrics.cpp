#include "rahf/reward/metrics/score_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "rahf/core/error.h"

namespace rahf::reward {
namespace {

using Counts = std::span<const std::int32_t>;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

void require_equal_sizes(const char* where, std::size_t x, std::size_t y) {
  if (x == y) return;
  throw ShapeError(std::string(where) + ": both must have the same number of values, got " +
                   std::to_string(x) + " and " + std::to_string(y));
}

double pearson(std::span<const double> x, std::span<const double> y, Counts counts) {
  double n = 0, mean_x = 0, mean_y = 0;
  double low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (counts[i] == 0) continue;
    n += counts[i];
    mean_x += counts[i] * x[i];
    mean_y += counts[i] * y[i];
    low_x = std::min(low_x, x[i]);
    high_x = std::max(high_x, x[i]);
    low_y = std::min(low_y, y[i]);
    high_y = std::max(high_y, y[i]);
  }
  // Compared exactly: the variance of equal values is rounding error, not always 0.
  if (!(low_x < high_x && low_y < high_y)) return kNaN;
  mean_x /= n;
  mean_y /= n;
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xx += counts[i] * dx * dx;
    yy += counts[i] * dy * dy;
    xy += counts[i] * dx * dy;
  }
  return std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0);
}

/// Values in ascending order, equal ones in one tie.
struct Order {
  explicit Order(std::span<const double> values) : entries(values.size()), tie(values.size()) {
    std::iota(entries.begin(), entries.end(), 0);
    std::sort(entries.begin(), entries.end(),
              [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    for (std::size_t i = 1; i < entries.size(); ++i) {
      tie[i] = tie[i - 1] + (values[entries[i]] != values[entries[i - 1]]);
    }
  }

  std::vector<double> ranks(Counts counts) const {
    std::vector<double> all(entries.size());
    double before = 0;
    for (std::size_t begin = 0, end = 0; begin < entries.size(); begin = end) {
      double size = 0;
      for (; end < entries.size() && tie[end] == tie[begin]; ++end) size += counts[entries[end]];
      for (std::size_t i = begin; i < end; ++i) all[entries[i]] = before + (size + 1) / 2;
      before += size;
    }
    return all;
  }

  std::vector<std::size_t> entries;
  std::vector<std::size_t> tie;  // Of entries[i].
};

}  // namespace

std::vector<double> average_ranks(std::span<const double> values) {
  return Order(values).ranks(std::vector<std::int32_t>(values.size(), 1));
}

double plcc(std::span<const double> x, std::span<const double> y) {
  return once(plcc_statistic(x, y), x.size());
}

double srcc(std::span<const double> x, std::span<const double> y) {
  return once(srcc_statistic(x, y), x.size());
}

double auc(std::span<const double> positives, std::span<const double> negatives) {
  std::vector<double> values(positives.begin(), positives.end());
  values.insert(values.end(), negatives.begin(), negatives.end());
  std::vector<std::uint8_t> positive(values.size(), 0);
  std::fill_n(positive.begin(), positives.size(), 1);
  return once(auc_statistic(values, positive), values.size());
}

Statistic plcc_statistic(std::span<const double> x, std::span<const double> y) {
  require_equal_sizes("plcc", x.size(), y.size());
  return [x = std::vector(x.begin(), x.end()), y = std::vector(y.begin(), y.end())](Counts counts) {
    return pearson(x, y, counts);
  };
}

Statistic srcc_statistic(std::span<const double> x, std::span<const double> y) {
  require_equal_sizes("srcc", x.size(), y.size());
  return [x = Order(x), y = Order(y)](Counts counts) {
    return pearson(x.ranks(counts), y.ranks(counts), counts);
  };
}

Statistic auc_statistic(std::span<const double> values, std::span<const std::uint8_t> positive) {
  require_equal_sizes("auc", values.size(), positive.size());
  return [order = Order(values),
          positive = std::vector(positive.begin(), positive.end())](Counts counts) {
    double positives = 0, negatives = 0, above = 0;
    for (std::size_t begin = 0, end = 0; begin < order.entries.size(); begin = end) {
      double tied_positives = 0, tied_negatives = 0;
      for (; end < order.entries.size() && order.tie[end] == order.tie[begin]; ++end) {
        const auto entry = order.entries[end];
        (positive[entry] ? tied_positives : tied_negatives) += counts[entry];
      }
      above += tied_positives * (negatives + tied_negatives / 2);
      positives += tied_positives;
      negatives += tied_negatives;
    }
    return above / (positives * negatives);  // 0 / 0 is NaN
  };
}

}  // namespace rahf::reward
