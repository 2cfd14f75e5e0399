#include "rahf/reward/metrics/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/random.h"

namespace rahf::reward {
namespace {

// Between the two nearest order statistics, linearly.
double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const auto above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - static_cast<double>(below));
}

}  // namespace

void BootstrapOptions::validate() const {
  if (resamples < 0) throw ConfigError("resamples must be >= 0, got " + std::to_string(resamples));
  if (!(level > 0 && level < 1)) {
    throw ConfigError("level must be in (0, 1), got " + std::to_string(level));
  }
}

double once(const Statistic& statistic, std::size_t entries) {
  return statistic(std::vector<std::int32_t>(entries, 1));
}

Estimate bootstrap(const Statistic& statistic, std::span<const std::int32_t> group_of,
                   std::int64_t groups, const BootstrapOptions& options) {
  options.validate();
  Estimate estimate{.value = once(statistic, group_of.size())};
  if (groups == 0 || options.resamples == 0) return estimate;

  const Randomness randomness(options.seed);
  std::vector<double> values(options.resamples);
#pragma omp parallel
  {
    std::vector<std::int32_t> of_group(groups), of_entry(group_of.size());
#pragma omp for schedule(static)
    for (std::int64_t resample = 0; resample < options.resamples; ++resample) {
      auto engine = randomness.engine("bootstrap", resample);
      std::fill(of_group.begin(), of_group.end(), 0);
      for (std::int64_t draw = 0; draw < groups; ++draw) ++of_group[uniform_int(engine, groups)];
      std::transform(group_of.begin(), group_of.end(), of_entry.begin(),
                     [&](std::int32_t group) { return of_group[group]; });
      values[resample] = statistic(of_entry);
    }
  }
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty() || 2 * static_cast<std::int64_t>(values.size()) < options.resamples) {
    return estimate;
  }
  std::sort(values.begin(), values.end());
  estimate.low = quantile(values, (1 - options.level) / 2);
  estimate.high = quantile(values, (1 + options.level) / 2);
  return estimate;
}

Estimate bootstrap(const Statistic& statistic, std::int64_t entries,
                   const BootstrapOptions& options) {
  std::vector<std::int32_t> each(entries);
  std::iota(each.begin(), each.end(), 0);
  return bootstrap(statistic, each, entries, options);
}

Statistic mean_statistic(std::vector<double> values) {
  return [values = std::move(values)](std::span<const std::int32_t> counts) {
    double sum = 0;
    std::int64_t count = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (counts[i] == 0 || std::isnan(values[i])) continue;
      sum += counts[i] * values[i];
      count += counts[i];
    }
    return sum / static_cast<double>(count);  // 0 / 0 is NaN
  };
}

}  // namespace rahf::reward
