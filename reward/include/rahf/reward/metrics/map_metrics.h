#pragma once

#include <torch/types.h>

#include <array>
#include <limits>
#include <string_view>
#include <vector>

namespace rahf::reward {

/// How well a predicted heatmap p agrees with an annotated one g, both on n pixels; all in f64.
///
/// A *fixation* is a pixel with g > 0. `P` and `G` are the maps divided by their sums; a map that
/// sums to 0 counts as uniform. The saliency metrics (all but mse) are NaN where g is empty, and
/// averages leave NaN out. Where implementations differ both conventions are given, the first one
/// under the plain name.
struct MapMetrics {
  static constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

  /// mean (p - g)^2; lower is better.
  double mse = kNaN;
  /// mse if g is empty, else NaN (the paper's "MSE on GT = 0").
  double mse_empty = kNaN;
  /// Mean of (p - mean p) / std p at fixations, std dividing by n; 0 if p is constant. Higher is
  /// better. As pysaliency and the MIT benchmark.
  double nss = kNaN;
  /// The same with the std dividing by n - 1, as the first author's evaluation.
  double nss_unbiased = kNaN;
  /// sum G log(G / (P + 1e-8) + 1e-8), as the first author's evaluation; lower is better.
  double kld = kNaN;
  /// sum G log(e + G / (P + e)), e = 2.2204e-16, as the MIT benchmark.
  double kld_mit = kNaN;
  /// sum min(P, G), in [0, 1]; higher is better.
  double sim = kNaN;
  /// Pearson's correlation of p and g over pixels; 0 if p is constant, NaN if g is constant.
  double cc = kNaN;
  /// Probability that p is higher at a fixation than at another pixel, ties counted half: exact,
  /// .5 if p is constant, NaN if every pixel is a fixation. Higher is better.
  double auc_judd = kNaN;
  /// Judd's sampling of the same curve, as the first author's evaluation: thresholds at the values
  /// of p at fixations, ties broken by a jitter of up to 1e-7 (here the same for every picture),
  /// trapezoids through (0, 0), ((c_i - i + 1) / (n - m), i / m) for i = 1 ... m, and (1, 1), where
  /// m is the number of fixations and c_i that of pixels at or above the i-th highest. Lower than
  /// the exact value by about 1 / (n - m).
  double auc_judd_thresholds = kNaN;
};

/// Name and member of every metric, in the order of tables.
struct MapMetricField {
  std::string_view name;
  double MapMetrics::*value;
};
inline constexpr std::array<MapMetricField, 10> kMapMetricFields = {{
    {"mse", &MapMetrics::mse},
    {"mse_empty", &MapMetrics::mse_empty},
    {"cc", &MapMetrics::cc},
    {"kld", &MapMetrics::kld},
    {"kld_mit", &MapMetrics::kld_mit},
    {"sim", &MapMetrics::sim},
    {"nss", &MapMetrics::nss},
    {"nss_unbiased", &MapMetrics::nss_unbiased},
    {"auc_judd", &MapMetrics::auc_judd},
    {"auc_judd_thresholds", &MapMetrics::auc_judd_thresholds},
}};

/// The metrics of every picture; pictures are shared out among threads.
/// @param predicted  [B, H, W] f32 or f64, >= 0
/// @param annotated  [B, H, W] f32 or f64, >= 0
/// @return           B of them
/// @throws ShapeError if the shapes differ.
std::vector<MapMetrics> map_metrics(const torch::Tensor& predicted, const torch::Tensor& annotated);

}  // namespace rahf::reward
