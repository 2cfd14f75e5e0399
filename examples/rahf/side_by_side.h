#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/prompt.h"
#include "rahf/reward/metrics/bootstrap.h"

namespace rahf::program {

/// From which differences of a score on an answer of the side-by-side table is given.
struct SideBySideOptions {
  double equal_within = 0.05;
  double much_from = 0.3;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("equal_within", self.equal_within,
          "scores that differ by at most so much are about equal; >= 0");
    visit("much_from", self.much_from,
          "from this difference on it is much better or worse; > equal_within");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// The five answers of the paper's comparison (Liang et al. 2024, table 5), from much better.
inline constexpr std::array<std::string_view, 5> kSideBySideAnswers = {
    "much_better", "better", "about_equal", "worse", "much_worse"};

/// One score of pairs of pictures, before against after, same prompts and draws.
struct SideBySide {
  std::string score;
  reward::Estimate before, after;  ///< Means, with 95 % intervals over prompts.
  reward::Estimate gain;           ///< Mean of after - before, pair by pair.
  std::array<double, 5> shares{};  ///< Of the pairs, in kSideBySideAnswers' order; sum 1.
};

/// @param before, after  [N, K] f64, N > 0
/// @param prompts        N; pairs of one prompt are drawn together for the interval
/// @throws ShapeError if the sizes disagree.
std::vector<SideBySide> side_by_side(const torch::Tensor& before, const torch::Tensor& after,
                                     const std::vector<std::string>& score_names,
                                     const Prompts& prompts, const SideBySideOptions& options = {});

/// The table as an object by score: before, after and gain with their intervals, shares by answer.
nlohmann::ordered_json side_by_side_json(const std::vector<SideBySide>& table);

/// The table for a terminal.
std::string side_by_side_text(const std::vector<SideBySide>& table);

}  // namespace rahf::program
