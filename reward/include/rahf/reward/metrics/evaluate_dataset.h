#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rahf/core/reward.h"
#include "rahf/reward/data/dataset.h"
#include "rahf/reward/data/truth.h"
#include "rahf/reward/metrics/evaluate.h"
#include "rahf/reward/model/baselines.h"

namespace rahf::reward {

/// The pictures to evaluate on. Targets are the annotators' consolidated feedback. With exact
/// truth, what is flawed or mismatched, and what is wrong with a word, comes from there; without,
/// a picture counts as flawed if at least half of the annotators marked one place as implausible,
/// as mismatched if the majority marked a word, and kinds are unknown.
struct EvaluationSet {
  const Dataset& dataset;
  std::vector<std::int64_t> rows;    ///< Of the dataset; their places here number the pictures.
  const TruthFile* truth = nullptr;  ///< Or null.
};

struct MeasureOptions {
  std::int64_t batch = 32;  ///< Pictures judged together; > 0.
  double threshold = .5;    ///< P(misaligned) from which a word is called so; in [0, 1].
  bool greedy = true;       ///< Decode words too, if the reward can.
  std::function<void(std::int64_t)> progress = {};  ///< Called with the pictures just done.
};

/// A reward's opinions, in the order of the rows.
std::vector<Measured> measure_reward(Reward& reward, const EvaluationSet& set,
                                     const MeasureOptions& options = {});

/// The ceiling among people: every annotator in turn against the consolidated feedback of the
/// others, on maps of the picture's own size. Pictures with a single annotator are left out.
std::vector<Measured> measure_annotators(const EvaluationSet& set);

/// The ceiling of the data: exact truth against the consolidated feedback.
/// @throws ConfigError if the set has no exact truth.
std::vector<Measured> measure_truth(const EvaluationSet& set);

/// What to say of every picture if nothing but the average is known: mean scores, mean heat, and
/// the share of misaligned words of (at most 2,000 evenly chosen) rows.
ConstantReward::Options mean_feedback(const Dataset& dataset,
                                      const std::vector<std::int64_t>& rows);

}  // namespace rahf::reward
