#include "rahf/reward/metrics/evaluate_dataset.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <limits>

#include "rahf/core/io/resize.h"
#include "rahf/reward/data/consolidate.h"
#include "rahf/reward/report/prediction.h"

namespace rahf::reward {
namespace {

// The feedback of all annotators, or of some, as what is right.
template <class Feedback>
Target target_of(const Feedback& feedback, const std::optional<ExactTruth>& truth) {
  const auto heat = [](const torch::Tensor& map) { return map.to(torch::kFloat) / 255; };
  Target target{.scores = {},
                .maps = {heat(feedback.implausibility), heat(feedback.misalignment)},
                .misaligned_words = feedback.misaligned_words,
                .wrong = {},
                .word_kinds = {}};
  std::copy(feedback.scores.begin(), feedback.scores.end(), target.scores.begin());
  if (truth) {
    target.wrong = {truth->flawed, truth->mismatched};
    target.word_kinds = truth->word_kinds;
  } else {
    const auto& words = feedback.misaligned_words;
    target.wrong = {target.maps[0].max().template item<float>() >= .5F,
                    std::find(words.begin(), words.end(), 1) != words.end()};
  }
  return target;
}

std::optional<ExactTruth> truth_of(const EvaluationSet& set, std::int64_t row) {
  if (!set.truth) return {};
  return set.truth->find(set.dataset.image(row), set.dataset.prompt(row));
}

// One picture after the other on each thread; exceptions come out.
void for_each(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  at::parallel_for(0, count, 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) work(i);
  });
}

// The columns of a reward's scores that are kScoreNames, in that order; -1 for none.
std::array<std::int64_t, 4> score_columns(const Reward& reward) {
  const auto names = reward.score_names();
  std::array<std::int64_t, 4> columns;
  for (std::size_t k = 0; k < columns.size(); ++k) {
    const auto found = std::find(names.begin(), names.end(), kScoreNames[k]);
    columns[k] = found == names.end() ? -1 : found - names.begin();
  }
  return columns;
}

std::vector<std::uint8_t> word_flags(const Annotation& annotation, std::size_t words) {
  std::vector<std::uint8_t> flags(words, 0);
  for (const auto word : annotation.misaligned_words) flags.at(word) = 1;
  return flags;
}

}  // namespace

std::vector<Measured> measure_reward(Reward& reward, const EvaluationSet& set,
                                     const MeasureOptions& options) {
  const auto columns = score_columns(reward);
  const auto total = std::ssize(set.rows);
  std::vector<Measured> measured(total);
  for (std::int64_t begin = 0; begin < total; begin += options.batch) {
    const auto count = std::min(options.batch, total - begin);
    std::vector<Image> pictures(count);
    std::vector<PictureRequest> requests(count);
    std::vector<Target> targets(count);
    for_each(count, [&](std::int64_t i) {
      const auto row = set.rows[begin + i];
      auto sample = set.dataset.at(row);
      targets[i] = target_of(sample, truth_of(set, row));
      pictures[i] = std::move(sample.picture);
      requests[i] = {sample.image, sample.prompt};
    });
    const auto predictions =
        predict_batch(reward, std::move(pictures), requests, {.written = options.greedy});
    for_each(count, [&](std::int64_t i) {
      const auto& prediction = predictions[i];
      Opinion opinion{.scores = {},
                      .maps = {prediction.implausibility, prediction.misalignment},
                      .words = {},
                      .written = {}};
      for (const auto column : columns) {
        const bool given = column >= 0 && column < std::ssize(prediction.scores);
        opinion.scores.push_back(given ? prediction.scores[column]
                                       : std::numeric_limits<double>::quiet_NaN());
      }
      if (!prediction.words.empty()) opinion.words = prediction.missed_words(options.threshold);
      if (!prediction.written.empty()) opinion.written = prediction.written;
      measured[begin + i] = measure(static_cast<std::int32_t>(begin + i), opinion, targets[i]);
    });
    if (options.progress) options.progress(count);
  }
  return measured;
}

std::vector<Measured> measure_annotators(const EvaluationSet& set) {
  std::vector<std::vector<Measured>> by_picture(set.rows.size());
  for_each(std::ssize(set.rows), [&](std::int64_t i) {
    const auto row = set.rows[i];
    const auto annotations = set.dataset.annotations(row);
    if (annotations.size() < 2) return;
    const auto [height, width] = set.dataset.picture_size(row);
    const auto truth = truth_of(set, row);
    for (std::size_t a = 0; a < annotations.size(); ++a) {
      auto others = annotations;
      others.erase(others.begin() + static_cast<std::ptrdiff_t>(a));
      const auto target = target_of(consolidate(others, height, width), truth);
      const auto& one = annotations[a];
      Opinion opinion{.scores = {},
                      .maps = {annotator_map(one.implausible_points, height, width),
                               annotator_map(one.misaligned_points, height, width)},
                      .words = word_flags(one, target.misaligned_words.size()),
                      .written = {}};
      for (const auto score : one.scores) {
        opinion.scores.push_back(static_cast<double>(score - 1) / 4);
      }
      by_picture[i].push_back(measure(static_cast<std::int32_t>(i), opinion, target));
    }
  });
  std::vector<Measured> measured;
  for (auto& some : by_picture) measured.insert(measured.end(), some.begin(), some.end());
  return measured;
}

std::vector<Measured> measure_truth(const EvaluationSet& set) {
  if (!set.truth) throw ConfigError("measure_truth: exact truth is needed, and none was given");
  std::vector<Measured> measured(set.rows.size());
  for_each(std::ssize(set.rows), [&](std::int64_t i) {
    const auto row = set.rows[i];
    const auto truth = truth_of(set, row);
    const Opinion opinion{.scores = {truth->scores.begin(), truth->scores.end()},
                          .maps = {truth->implausibility, truth->misalignment},
                          .words = truth->misaligned_words,
                          .written = {}};
    measured[i] =
        measure(static_cast<std::int32_t>(i), opinion, target_of(set.dataset.at(row), truth));
  });
  return measured;
}

ConstantReward::Options mean_feedback(const Dataset& dataset,
                                      const std::vector<std::int64_t>& rows) {
  constexpr std::int64_t kMost = 2000;
  const auto total = std::ssize(rows), count = std::min(total, kMost);
  ConstantReward::Options mean{.scores = {}, .heat = {}, .misaligned = 0};
  double words = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto row = rows[i * total / count];
    const auto& scores = dataset.scores(row);
    for (std::size_t k = 0; k < scores.size(); ++k) {
      mean.scores[k] += scores[k] / static_cast<double>(count);
    }
    for (std::size_t m = 0; m < mean.heat.size(); ++m) {
      mean.heat[m] += dataset.map(m, row).to(torch::kDouble).mean().item<double>() / 255 /
                      static_cast<double>(count);
    }
    for (const auto misaligned : dataset.misaligned_words(row)) {
      mean.misaligned += misaligned;
      ++words;
    }
  }
  if (words > 0) mean.misaligned /= words;
  return mean;
}

}  // namespace rahf::reward
