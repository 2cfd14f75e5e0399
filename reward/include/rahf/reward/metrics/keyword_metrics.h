#pragma once

#include <cstdint>
#include <span>

#include "rahf/reward/metrics/bootstrap.h"

namespace rahf::reward {

/// How the words of one prompt (or of many, added up) were told apart; "positive" is misaligned.
struct WordCounts {
  std::int32_t true_positives = 0;
  std::int32_t false_positives = 0;
  std::int32_t false_negatives = 0;

  WordCounts& operator+=(const WordCounts& other);
  bool operator==(const WordCounts&) const = default;
};

/// Compares words by position. A predicted list that is too short calls the rest aligned; what is
/// beyond the annotated words is passed over.
/// @param predicted  1 is misaligned, one per word
/// @param annotated  the same
WordCounts count_words(std::span<const std::uint8_t> predicted,
                       std::span<const std::uint8_t> annotated);

enum class WordMeasure { kPrecision, kRecall, kF1 };

/// Corpus level: of the words of all prompts together, as the paper's F1 is. Precision is 0 if no
/// word was called misaligned (as scikit-learn's zero_division = 0); recall is NaN if none is, F1
/// if neither.
Statistic corpus_statistic(std::span<const WordCounts> prompts, WordMeasure measure);

/// The mean over prompts of each prompt's own figure, as the first author's evaluation: a prompt
/// with nothing to find and nothing called counts as 0 too.
Statistic per_prompt_statistic(std::span<const WordCounts> prompts, WordMeasure measure);

}  // namespace rahf::reward
