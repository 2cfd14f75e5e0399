#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "rahf/core/judgement.h"
#include "rahf/reward/data/truth.h"
#include "rahf/reward/metrics/bootstrap.h"
#include "rahf/reward/metrics/keyword_metrics.h"
#include "rahf/reward/metrics/map_metrics.h"

namespace rahf::reward {

/// What is held to be right about one picture.
struct Target {
  std::array<double, 4> scores;                ///< In kScoreNames order, in [0, 1].
  std::array<torch::Tensor, 2> maps;           ///< In kMapNames order: [H, W] f32 in [0, 1].
  std::vector<std::uint8_t> misaligned_words;  ///< One flag per word.
  std::array<bool, 2> wrong;                   ///< In kMapNames order: it is flawed; mismatched.
  std::vector<std::uint8_t> word_kinds;        ///< Indices into kWordKinds; empty if unknown.
};

/// What somebody says about one picture: a model, an annotator, a baseline. Parts may be missing.
struct Opinion {
  std::vector<double> scores;         ///< In kScoreNames order, NaN for one not given; or empty.
  std::array<torch::Tensor, 2> maps;  ///< [h, w]; resized to the target's size. Or undefined.
  std::optional<std::vector<std::uint8_t>> words;    ///< One flag per word.
  std::optional<std::vector<std::uint8_t>> written;  ///< The same, by greedy decoding.
};

/// How an opinion compares with the target: all that the figures of many pictures need of one.
struct Measured {
  std::int32_t picture = 0;  ///< Opinions with the same number are resampled together.
  std::array<double, 4> said_scores, target_scores;
  std::array<MapMetrics, 2> maps;
  std::array<double, 2> map_means;  ///< Of the opinion's maps; NaN where it has none.
  std::array<bool, 2> wrong;
  std::optional<WordCounts> words, written;
  /// Of the words that are wrong in each way, how many were found; where kinds are known.
  std::optional<std::array<WordCounts, kWordKinds.size()>> found, written_found;
};

/// A pure function: pictures may be measured on several threads.
Measured measure(std::int32_t picture, const Opinion& opinion, const Target& target);

/// Figures by name.
using Metrics = std::map<std::string, Estimate>;

/// The figures of many pictures. What an opinion lacks is left out.
struct Report {
  std::int64_t pictures = 0;
  std::map<std::string, Metrics> scores;  ///< By kScoreNames: plcc, srcc, mse.
  /// By kMapNames: the kMapMetricFields, each a mean over the pictures where it is defined, and
  /// `separation_auc`: how well the mean of the map tells flawed from clean pictures, or mismatched
  /// from matching ones.
  std::map<std::string, Metrics> maps;
  /// precision, recall, f1 at corpus level; prompt_precision, ... per prompt; recall_KIND for
  /// the kWordKinds that occur. Positive is misaligned.
  Metrics keywords;
  Metrics written_keywords;  ///< The same for greedy decoding.
};

Report report(const std::vector<Measured>& measured, const BootstrapOptions& options = {});

/// {"scores": {"plausibility": {"plcc": x, "plcc_interval": [low, high], ...}, ...}, "maps": ...,
/// "keywords": ..., "keywords_greedy": ..., "pictures": n}; NaN is null.
nlohmann::json to_json(const Report& report);

/// One column of a table.
struct ReportColumn {
  std::string title;
  Report report;
  bool intervals = false;  ///< Print them behind the figures.
};

/// A text table, a figure per row. What is missing or NaN reads n/a.
std::string report_table(const std::vector<ReportColumn>& columns);

}  // namespace rahf::reward
