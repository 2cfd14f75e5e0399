#include "rahf/reward/metrics/keyword_metrics.h"

#include <limits>
#include <vector>

namespace rahf::reward {
namespace {

// Of what share each measure is: numerator over denominator, both sums over words.
struct Fraction {
  double over = 0, under = 0;
};

Fraction fraction(const WordCounts& words, WordMeasure measure) {
  const double hits = words.true_positives;
  switch (measure) {
    case WordMeasure::kPrecision:
      return {hits, hits + words.false_positives};
    case WordMeasure::kRecall:
      return {hits, hits + words.false_negatives};
    case WordMeasure::kF1:
      return {2 * hits, 2 * hits + words.false_positives + words.false_negatives};
  }
  return {};
}

double share(Fraction f, double if_empty) { return f.under > 0 ? f.over / f.under : if_empty; }

}  // namespace

WordCounts& WordCounts::operator+=(const WordCounts& other) {
  true_positives += other.true_positives;
  false_positives += other.false_positives;
  false_negatives += other.false_negatives;
  return *this;
}

WordCounts count_words(std::span<const std::uint8_t> predicted,
                       std::span<const std::uint8_t> annotated) {
  WordCounts words;
  for (std::size_t i = 0; i < annotated.size(); ++i) {
    const bool called = i < predicted.size() && predicted[i];
    words.true_positives += called && annotated[i];
    words.false_positives += called && !annotated[i];
    words.false_negatives += !called && annotated[i];
  }
  return words;
}

Statistic corpus_statistic(std::span<const WordCounts> prompts, WordMeasure measure) {
  std::vector<Fraction> all;
  all.reserve(prompts.size());
  for (const auto& words : prompts) all.push_back(fraction(words, measure));
  // Calling nothing has a precision; having nothing to find leaves the others without a meaning.
  const double if_empty =
      measure == WordMeasure::kPrecision ? 0 : std::numeric_limits<double>::quiet_NaN();
  return [all = std::move(all), if_empty](std::span<const std::int32_t> counts) {
    Fraction sum;
    for (std::size_t i = 0; i < all.size(); ++i) {
      sum.over += counts[i] * all[i].over;
      sum.under += counts[i] * all[i].under;
    }
    return share(sum, if_empty);
  };
}

Statistic per_prompt_statistic(std::span<const WordCounts> prompts, WordMeasure measure) {
  std::vector<double> shares;
  shares.reserve(prompts.size());
  for (const auto& words : prompts) shares.push_back(share(fraction(words, measure), 0));
  return mean_statistic(std::move(shares));
}

}  // namespace rahf::reward
