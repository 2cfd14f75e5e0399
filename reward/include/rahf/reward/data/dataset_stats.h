#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "rahf/core/image.h"
#include "rahf/core/judgement.h"
#include "rahf/reward/data/dataset.h"
#include "rahf/reward/report/plot.h"

namespace rahf::reward {

/// How one score is spread, and how far annotators agree on it.
struct ScoreStats {
  double mean = 0;           ///< Of the pictures' mean scores, in [0, 1].
  double std = 0;            ///< Their standard deviation (divided by N).
  Histogram values;          ///< Mean scores in ten bins.
  Histogram max_difference;  ///< Largest minus smallest score of a picture, in Likert points; of
                             ///< pictures with two annotators at least (RAHF, figure 5).
  /// Mean over pairs of annotators, weighted by the pictures that both judged, of Pearson's
  /// correlation on those; pairs with fewer than three, or with constant scores, are left out. NaN
  /// if none remains.
  double pair_correlation = 0;
  /// Pearson's correlation of the scores that two annotators gave one picture, over all ordered
  /// pairs of all pictures; NaN if there is none.
  double pooled_correlation = 0;
};

/// How many places and words are marked as bad.
struct MapStats {
  double empty_share = 0;      ///< Pictures on which nobody clicked.
  double clicks = 0;           ///< Mean per picture and annotator.
  Histogram clicks_histogram;  ///< Of a picture's clicks by all its annotators.
};

struct DatasetStats {
  std::int64_t pictures = 0;
  std::int64_t prompts = 0;     ///< Different ones.
  std::int64_t annotators = 0;  ///< Different ones.
  std::int64_t records = 0;     ///< Of a picture by an annotator.
  double flawless_share = 0;    ///< Pictures with both maps empty and no word misaligned.
  double words = 0;             ///< Mean per prompt (of a picture).
  double misaligned_words = 0;  ///< Mean per picture, by majority.
  Histogram words_histogram;
  Histogram misaligned_words_histogram;
  Histogram annotators_histogram;  ///< Per picture.
  Histogram splits;
  std::array<ScoreStats, kScoreNames.size()> scores;  ///< In kScoreNames order.
  std::array<MapStats, kMapNames.size()> maps;        ///< In kMapNames order.

  /// All histograms, in the order of the text and of the picture.
  std::vector<const Histogram*> histograms() const;
};

/// @param rows  which rows of the dataset to count
DatasetStats dataset_stats(const Dataset& dataset, const std::vector<std::int64_t>& rows);

std::string stats_text(const DatasetStats& stats);
/// One JSON object; what cannot be computed is null.
std::string stats_json(const DatasetStats& stats);
Image stats_picture(const DatasetStats& stats);

}  // namespace rahf::reward
