#include "side_by_side.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

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
  const auto column = [&](const torch::Tensor& of, std::int64_t k) {
    const auto values = of.select(1, k).to(torch::kDouble).contiguous();
    return std::vector<double>(values.data_ptr<double>(), values.data_ptr<double>() + count);
  };
  const auto mean = [&](std::vector<double> values) {
    return reward::bootstrap(reward::mean_statistic(std::move(values)), group_of,
                             static_cast<std::int64_t>(known.size()));
  };
  std::vector<SideBySide> table;
  for (std::int64_t k = 0; k < scores; ++k) {
    SideBySide row{.score = score_names[k],
                   .before = mean(column(before, k)),
                   .after = mean(column(after, k))};
    const auto gains = column(after - before, k);
    for (const auto gain : gains) {
      row.shares[answer(gain, options)] += 1 / static_cast<double>(count);
    }
    row.gain = mean(gains);
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
    auto& one = all[row.score];
    for (const auto& [name, figure] :
         {std::pair{"before", row.before}, std::pair{"after", row.after},
          std::pair{"gain", row.gain}}) {
      one[name] = figure.value;
      one[std::string(name) + "_low"] = figure.low;
      one[std::string(name) + "_high"] = figure.high;
    }
    one["shares"] = std::move(shares);
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
                  static_cast<int>(width), row.score.c_str(), row.before.value, row.after.value,
                  row.gain.value, row.gain.low, row.gain.high, 100 * row.shares[0],
                  100 * row.shares[1], 100 * row.shares[2], 100 * row.shares[3],
                  100 * row.shares[4]);
    text += line;
  }
  return text;
}

}  // namespace rahf::program
