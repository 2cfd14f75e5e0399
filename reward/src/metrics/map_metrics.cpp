#include "rahf/reward/metrics/map_metrics.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "rahf/core/random.h"
#include "rahf/core/shapes.h"

namespace rahf::reward {
namespace {

using Map = std::span<const double>;

struct Moments {
  double sum = 0, mean = 0;
  double squares = 0;     // sum (x - mean)^2
  bool constant = false;  // Compared exactly: squares of equal values may be rounding error.
};

Moments moments(Map map) {
  Moments m;
  for (const double x : map) m.sum += x;
  m.mean = m.sum / static_cast<double>(map.size());
  for (const double x : map) m.squares += (x - m.mean) * (x - m.mean);
  const auto [low, high] = std::minmax_element(map.begin(), map.end());
  m.constant = *low == *high;
  return m;
}

struct Spread {  // Of a prediction's values: at fixations in ascending order, and elsewhere.
  std::vector<double> fixated, others;
};

// Ties half. Distinct values at fixations are few for maps of annotators, so the search is short.
double exact_auc(const Spread& spread) {
  std::vector<double> distinct;
  std::vector<double> at_least;  // Fixations with this distinct value or a higher one.
  const auto& fixated = spread.fixated;
  const auto count = static_cast<double>(fixated.size());
  for (std::size_t i = 0; i < fixated.size(); ++i) {
    if (i > 0 && fixated[i] == fixated[i - 1]) continue;
    distinct.push_back(fixated[i]);
    at_least.push_back(count - static_cast<double>(i));
  }
  at_least.push_back(0);
  double above = 0;
  for (const double other : spread.others) {
    const auto found = std::lower_bound(distinct.begin(), distinct.end(), other);
    const auto i = found - distinct.begin();
    const bool tie = found != distinct.end() && *found == other;
    above += tie ? (at_least[i] + at_least[i + 1]) / 2 : at_least[i];
  }
  return above / (count * static_cast<double>(spread.others.size()));
}

// Trapezoids through the thresholds' points; each false-positive rate counts one pixel too many.
double threshold_auc(const Spread& spread) {
  const auto m = static_cast<std::int64_t>(spread.fixated.size());
  // others_at[k]: others at or above exactly the k lowest fixations.
  std::vector<double> others_at(m + 1, 0);
  for (const double other : spread.others) {
    const auto found = std::upper_bound(spread.fixated.begin(), spread.fixated.end(), other);
    ++others_at[found - spread.fixated.begin()];
  }
  const auto total = static_cast<double>(spread.others.size());
  double area = 0, false_positives = 0;
  for (std::int64_t i = 1; i <= m; ++i) {  // The i-th highest fixation is number m - i from below.
    const double step = (others_at[m - i + 1] + (i == 1)) / total;
    area += step * static_cast<double>(2 * i - 1) / static_cast<double>(2 * m);
    false_positives += step;
  }
  return area + (1 - false_positives);  // From (last, 1) to (1, 1).
}

Spread spread_of(Map predicted, Map annotated, Map jitter) {
  Spread spread;
  for (std::size_t i = 0; i < predicted.size(); ++i) {
    const double value = predicted[i] + (jitter.empty() ? 0 : jitter[i]);
    (annotated[i] > 0 ? spread.fixated : spread.others).push_back(value);
  }
  std::sort(spread.fixated.begin(), spread.fixated.end());
  return spread;
}

MapMetrics metrics_of(Map p, Map g, Map jitter) {
  const auto n = static_cast<double>(p.size());
  MapMetrics metrics;
  metrics.mse = 0;
  for (std::size_t i = 0; i < p.size(); ++i) metrics.mse += (p[i] - g[i]) * (p[i] - g[i]) / n;

  const auto of_p = moments(p), of_g = moments(g);
  if (!(of_g.sum > 0)) {
    metrics.mse_empty = metrics.mse;
    return metrics;
  }

  double fixations = 0, at_fixations = 0, covariance = 0;
  metrics.kld = metrics.kld_mit = metrics.sim = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double share_p = of_p.sum > 0 ? p[i] / of_p.sum : 1 / n, share_g = g[i] / of_g.sum;
    metrics.sim += std::min(share_p, share_g);
    covariance += (p[i] - of_p.mean) * (g[i] - of_g.mean);
    if (!(g[i] > 0)) continue;  // Adds nothing to what follows.
    constexpr double kFirstAuthor = 1e-8, kMit = 2.2204e-16;
    metrics.kld += share_g * std::log(share_g / (share_p + kFirstAuthor) + kFirstAuthor);
    metrics.kld_mit += share_g * std::log(share_g / (share_p + kMit) + kMit);
    at_fixations += p[i] - of_p.mean;
    ++fixations;
  }
  const double excess = of_p.constant ? 0 : at_fixations / fixations;
  const double squares = of_p.constant ? 1 : of_p.squares;
  metrics.nss = excess / std::sqrt(squares / n);
  metrics.nss_unbiased = excess / std::sqrt(squares / (n - 1));
  if (!of_g.constant) {
    metrics.cc = of_p.constant ? 0 : covariance / std::sqrt(of_p.squares * of_g.squares);
  }
  if (fixations < n) {
    metrics.auc_judd = of_p.constant ? .5 : exact_auc(spread_of(p, g, {}));
    metrics.auc_judd_thresholds = threshold_auc(spread_of(p, g, jitter));
  }
  return metrics;
}

}  // namespace

std::vector<MapMetrics> map_metrics(const torch::Tensor& predicted,
                                    const torch::Tensor& annotated) {
  Shapes shapes("map_metrics");
  shapes.check("predicted", predicted, {"B", "H", "W"});
  shapes.check("annotated", annotated, {"B", "H", "W"});
  const auto p = predicted.detach().to(torch::kCPU, torch::kDouble).contiguous();
  const auto g = annotated.detach().to(torch::kCPU, torch::kDouble).contiguous();
  const auto batch = p.size(0), pixels = p.size(1) * p.size(2);

  std::vector<double> jitter(pixels);
  auto engine = Randomness(0).engine("jitter", 0);
  for (double& value : jitter) value = 1e-7 * uniform(engine);

  std::vector<MapMetrics> all(batch);
  const auto* values_p = p.const_data_ptr<double>();
  const auto* values_g = g.const_data_ptr<double>();
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto map = [&](const double* values) {
      return Map(values + b * pixels, static_cast<std::size_t>(pixels));
    };
    all[b] = metrics_of(map(values_p), map(values_g), jitter);
  }
  return all;
}

}  // namespace rahf::reward
