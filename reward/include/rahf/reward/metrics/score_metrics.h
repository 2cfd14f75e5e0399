#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rahf/reward/metrics/bootstrap.h"

namespace rahf::reward {

/// Pearson's linear correlation, in [-1, 1]. NaN with fewer than two values, or if one side is
/// constant: a constant prediction has no correlation, and is printed as n/a.
/// @throws ShapeError if the sizes differ; so do the others.
double plcc(std::span<const double> x, std::span<const double> y);

/// Spearman's rank correlation: Pearson's of the average ranks. NaN as plcc().
double srcc(std::span<const double> x, std::span<const double> y);

/// Probability that a positive is above a negative, ties counted half: the area under the ROC
/// curve. NaN if either is empty.
double auc(std::span<const double> positives, std::span<const double> negatives);

/// Ranks from 1; equal values share the mean of their places.
std::vector<double> average_ranks(std::span<const double> values);

// The same for the bootstrap. Sorting is done once, so a resample costs O(N).
Statistic plcc_statistic(std::span<const double> x, std::span<const double> y);
Statistic srcc_statistic(std::span<const double> x, std::span<const double> y);
/// @param positive  1 for a positive, 0 for a negative; one per value
Statistic auc_statistic(std::span<const double> values, std::span<const std::uint8_t> positive);

}  // namespace rahf::reward
