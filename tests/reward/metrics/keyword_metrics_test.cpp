#include "rahf/reward/metrics/keyword_metrics.h"

#include <cmath>
#include <filesystem>
#include <vector>

#include "rahf/core/io/safetensors.h"
#include "support/catch.h"
#include "support/paths.h"

using namespace rahf::reward;
using Flags = std::vector<std::uint8_t>;

TEST_CASE("count_words compares by position", "[reward][keyword_metrics]") {
  CHECK(count_words(Flags{1, 1, 0, 0}, Flags{1, 0, 1, 0}) == WordCounts{1, 1, 1});
  CHECK(count_words(Flags{1}, Flags{1, 1, 0}) == WordCounts{1, 0, 1});  // Too short.
  CHECK(count_words(Flags{0, 1, 1}, Flags{0}) == WordCounts{0, 0, 0});  // Too long.
}

TEST_CASE("Corpus and per-prompt figures differ as they should", "[reward][keyword_metrics]") {
  const std::vector<WordCounts> prompts = {{1, 0, 0}, {1, 3, 1}, {0, 0, 0}};
  CHECK(once(corpus_statistic(prompts, WordMeasure::kPrecision), 3) == Approx(2.0 / 5));
  CHECK(once(corpus_statistic(prompts, WordMeasure::kRecall), 3) == Approx(2.0 / 3));
  CHECK(once(corpus_statistic(prompts, WordMeasure::kF1), 3) == Approx(.5));
  CHECK(once(per_prompt_statistic(prompts, WordMeasure::kPrecision), 3) == Approx(1.25 / 3));
  CHECK(once(per_prompt_statistic(prompts, WordMeasure::kRecall), 3) == Approx(1.5 / 3));
  CHECK(once(per_prompt_statistic(prompts, WordMeasure::kF1), 3) == Approx((1 + 1.0 / 3) / 3));

  const std::vector<WordCounts> silent = {{0, 0, 2}}, nothing = {{0, 0, 0}};
  CHECK(once(corpus_statistic(silent, WordMeasure::kPrecision), 1) == 0);
  CHECK(once(corpus_statistic(silent, WordMeasure::kF1), 1) == 0);
  CHECK(std::isnan(once(corpus_statistic(nothing, WordMeasure::kRecall), 1)));
  CHECK(std::isnan(once(corpus_statistic(nothing, WordMeasure::kF1), 1)));

  const std::vector<std::int32_t> without_the_second = {2, 0, 1};
  CHECK(corpus_statistic(prompts, WordMeasure::kF1)(without_the_second) == 1);
}

TEST_CASE("Keyword figures equal scikit-learn's", "[reward][keyword_metrics][parity]") {
  const auto fixture =
      rahf::io::read_safetensors(rahf::test::fixtures() / "metrics" / "scores.safetensors");
  const auto words = [&](const char* name, std::int64_t i) {
    const auto row = fixture.tensors.at(name)[i].contiguous();
    const auto* data = row.const_data_ptr<std::uint8_t>();
    return Flags(data, data + row.numel());
  };
  std::vector<WordCounts> prompts;
  for (std::int64_t i = 0; i < 60; ++i) {
    prompts.push_back(count_words(words("guesses", i), words("labels", i)));
  }
  for (const auto measure : {WordMeasure::kPrecision, WordMeasure::kRecall, WordMeasure::kF1}) {
    const auto i = static_cast<std::int64_t>(measure);
    CHECK(once(corpus_statistic(prompts, measure), 60) ==
          Approx(fixture.tensors.at("corpus")[i].item<double>()).margin(1e-12));
    CHECK(once(per_prompt_statistic(prompts, measure), 60) ==
          Approx(fixture.tensors.at("per_prompt")[i].item<double>()).margin(1e-12));
  }
}
