#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

namespace rahf::reward {

/// A figure computed from entries, told how often each entry counts: all ones give the figure of
/// the data, the multiplicities of a resample give that of the resample. NaN where it is undefined.
/// Called from several threads at once.
using Statistic = std::function<double(std::span<const std::int32_t> counts)>;

/// A figure with its confidence interval; NaN where undefined.
struct Estimate {
  double value = std::numeric_limits<double>::quiet_NaN();
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
};

struct BootstrapOptions {
  std::int64_t resamples = 1000;  ///< 0 gives no interval; >= 0
  double level = .95;             ///< Share of the resamples inside the interval; in (0, 1).
  std::uint64_t seed = 0;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("resamples", self.resamples, "bootstrap resamples for intervals; 0 gives none; >= 0");
    visit("level", self.level, "share of the resamples inside an interval; in (0, 1)");
    visit("seed", self.seed, "seed of the resamples");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// The statistic of the data and its percentile interval. Groups (pictures) are drawn with
/// replacement, each bringing all of its entries, so that entries of one picture stay together.
/// Every statistic sees the same resamples, on any number of threads. Resamples on which the
/// statistic is undefined are left out; if they are more than half, there is no interval.
/// @param group_of  of each entry, in [0, groups)
Estimate bootstrap(const Statistic& statistic, std::span<const std::int32_t> group_of,
                   std::int64_t groups, const BootstrapOptions& options = {});

/// The same with every one of `entries` a group of its own.
Estimate bootstrap(const Statistic& statistic, std::int64_t entries,
                   const BootstrapOptions& options = {});

/// The statistic with every entry counted once.
double once(const Statistic& statistic, std::size_t entries);

/// Mean of the values that are not NaN; NaN if there are none.
Statistic mean_statistic(std::vector<double> values);

}  // namespace rahf::reward
