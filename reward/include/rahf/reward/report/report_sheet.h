#pragma once

#include <string>
#include <vector>

#include "rahf/core/image.h"
#include "rahf/reward/data/sample.h"
#include "rahf/reward/report/prediction.h"

namespace rahf::reward {

/// What a reward said about a picture, beside what people said.
struct ReportRow {
  Prediction prediction;
  Sample truth;  ///< As it is by default if nobody judged the picture.

  bool judged_by_people() const { return !truth.prompt.empty(); }
};

/// One picture to look at, a row per picture: the picture; each heatmap beside the true one; the
/// prompt with struck words, predicted and true; predicted scores as bars, with the true ones
/// marked on them.
/// @param score_names  of the reward
/// @param threshold    probability from which a word counts as missed; in [0, 1]
Image report_sheet(const std::vector<ReportRow>& rows, const std::vector<std::string>& score_names,
                   double threshold);

}  // namespace rahf::reward
