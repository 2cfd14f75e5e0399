#include "side_by_side.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "rahf/core/error.h"

namespace rahf::program {
namespace {

std::size_t answer(double gain, const SideBySideOptions& options) {
  if (std::abs(gain) <= options.equal_within) return 2;
  const bool much = std::abs(gain) >= options.much_from;
  if (gain > 0) return much ? 0 : 1;
  return much ? 4 : 3;
}

}  // namespace

void SideBySideOptions::validate() const {
  if (!(equal_within >= 0 && much_from > equal_within)) {
    throw ConfigError(c10::str("SideBySideOptions: must be 0 <= equal_within < much_from, got ",
                               equal_within, " and ", much_from));
  }
}

std::vector<SideBySide> side_by_side(const torch::Tensor& before, const torch::Tensor& after,
                                     const std::vector<std::string>& score_names,
                                     const Prompts& prompts, const SideBySideOptions& options) {
  options.validate();
  const auto count = static_cast<std::int64_t>(prompts.size());
  const auto scores = static_cast<std::int64_t>(score_names.size());
  if (count == 0 || before.sizes() != at::IntArrayRef{count, scores} ||
      after.sizes() != before.sizes()) {
    throw ShapeError(c10::str("side_by_side: scores must be [", count, ", ", scores, "], got ",
                              before.sizes(), " and ", after.sizes()));
  }
  std::map<std::string, std::int32_t> known;
  std::vector<std::int32_t> group_of;
  for (const auto& prompt : prompts) {
    const auto next = static_cast<std::int32_t>(known.size());
    group_of.push_back(known.try_emplace(prompt.text, next).first->second);
  }
  std::vector<SideBySide> table;
  for (std::int64_t k = 0; k < scores; ++k) {
    SideBySide row{.score = score_names[k],
                   .before = before.select(1, k).mean().item<double>(),
                   .after = after.select(1, k).mean().item<double>()};
    const auto gains = (after - before).select(1, k).to(torch::kDouble).contiguous();
    const std::vector<double> values(gains.data_ptr<double>(), gains.data_ptr<double>() + count);
    for (const auto gain : values) {
      row.shares[answer(gain, options)] += 1 / static_cast<double>(count);
    }
    row.gain = reward::bootstrap(reward::mean_statistic(values), group_of,
                                 static_cast<std::int64_t>(known.size()));
    table.push_back(std::move(row));
  }
  return table;
}

nlohmann::ordered_json side_by_side_json(const std::vector<SideBySide>& table) {
  auto all = nlohmann::ordered_json::object();
  for (const auto& row : table) {
    nlohmann::ordered_json shares;
    for (std::size_t i = 0; i < row.shares.size(); ++i) {
      shares[std::string(kSideBySideAnswers[i])] = row.shares[i];
    }
    all[row.score] = {{"before", row.before},       {"after", row.after},
                      {"gain", row.gain.value},     {"gain_low", row.gain.low},
                      {"gain_high", row.gain.high}, {"shares", std::move(shares)}};
  }
  return all;
}

std::string side_by_side_text(const std::vector<SideBySide>& table) {
  std::size_t width = 5;
  for (const auto& row : table) width = std::max(width, row.score.size());
  std::string text(width, ' ');
  text += "  before   after    gain  [95 %]              ≫       >       ≈       <       ≪\n";
  for (const auto& row : table) {
    char line[256];
    std::snprintf(line, sizeof line,
                  "%-*s  %6.3f  %6.3f  %+6.3f  [%+.3f, %+.3f]  %5.1f %% %5.1f %% %5.1f %% %5.1f %% "
                  "%5.1f %%\n",
                  static_cast<int>(width), row.score.c_str(), row.before, row.after, row.gain.value,
                  row.gain.low, row.gain.high, 100 * row.shares[0], 100 * row.shares[1],
                  100 * row.shares[2], 100 * row.shares[3], 100 * row.shares[4]);
    text += line;
  }
  return text;
}

}  // namespace rahf::program
