#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rahf/core/image.h"

namespace rahf::reward {

/// How often each value occurred.
struct Histogram {
  std::string title;
  std::vector<std::string> labels;   ///< One per bar.
  std::vector<std::int64_t> counts;  ///< One per bar.

  std::int64_t total() const;
  /// Share of the total in bar i; 0 if there is nothing.
  double share(std::size_t i) const;
};

/// One bar chart per histogram, in rows of `columns`, with the share of the tallest bar at the
/// left.
Image draw_histograms(const std::vector<Histogram>& histograms, std::int64_t columns);

}  // namespace rahf::reward
