#include "rahf/reward/metrics/evaluate.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unordered_map>

#include "rahf/core/io/resize.h"
#include "rahf/reward/metrics/score_metrics.h"

namespace rahf::reward {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr std::array<std::pair<const char*, WordMeasure>, 3> kWordMeasures = {
    {{"precision", WordMeasure::kPrecision},
     {"recall", WordMeasure::kRecall},
     {"f1", WordMeasure::kF1}}};

std::array<WordCounts, kWordKinds.size()> count_kinds(const std::vector<std::uint8_t>& said,
                                                      const std::vector<std::uint8_t>& kinds) {
  std::array<WordCounts, kWordKinds.size()> found;
  for (std::size_t w = 0; w < kinds.size(); ++w) {
    const bool hit = w < said.size() && said[w];
    ++(hit ? found[kinds[w]].true_positives : found[kinds[w]].false_negatives);
  }
  return found;
}

/// Estimates figures over the entries that have what a figure needs.
class Estimator {
 public:
  Estimator(const std::vector<Measured>& measured, const BootstrapOptions& options)
      : measured_(measured), options_(options) {
    for (const auto& entry : measured) group_of_.try_emplace(entry.picture, groups());
  }
  std::int32_t groups() const { return static_cast<std::int32_t>(group_of_.size()); }

  /// @param get   Measured -> optional of what the figure is made of
  /// @param make  vector of those -> Statistic
  /// Nothing is added to `metrics` if no entry has it.
  template <class Get, class Make>
  void add(Metrics& metrics, const std::string& name, const Get& get, const Make& make) const {
    std::vector<typename std::invoke_result_t<Get, const Measured&>::value_type> values;
    std::vector<std::int32_t> group_of;
    for (const auto& entry : measured_) {
      if (auto value = get(entry)) {
        values.push_back(*std::move(value));
        group_of.push_back(group_of_.at(entry.picture));
      }
    }
    if (values.empty()) return;
    metrics.emplace(name, bootstrap(make(values), group_of, groups(), options_));
  }

 private:
  const std::vector<Measured>& measured_;
  const BootstrapOptions& options_;
  std::unordered_map<std::int32_t, std::int32_t> group_of_;  // By picture, numbered from 0.
};

struct Pair {
  double said, target;
};

std::pair<std::vector<double>, std::vector<double>> unzip(const std::vector<Pair>& pairs) {
  std::pair<std::vector<double>, std::vector<double>> both;
  for (const auto& [said, target] : pairs) {
    both.first.push_back(said);
    both.second.push_back(target);
  }
  return both;
}

Metrics score_report(const Estimator& estimator, std::size_t k) {
  const auto get = [k](const Measured& entry) -> std::optional<Pair> {
    if (std::isnan(entry.said_scores[k]) || std::isnan(entry.target_scores[k])) return {};
    return Pair{entry.said_scores[k], entry.target_scores[k]};
  };
  Metrics metrics;
  estimator.add(metrics, "plcc", get, [](const std::vector<Pair>& pairs) {
    const auto [said, target] = unzip(pairs);
    return plcc_statistic(said, target);
  });
  estimator.add(metrics, "srcc", get, [](const std::vector<Pair>& pairs) {
    const auto [said, target] = unzip(pairs);
    return srcc_statistic(said, target);
  });
  estimator.add(metrics, "mse", get, [](const std::vector<Pair>& pairs) {
    std::vector<double> squares;
    for (const auto& [said, target] : pairs) squares.push_back((said - target) * (said - target));
    return mean_statistic(std::move(squares));
  });
  return metrics;
}

Metrics map_report(const Estimator& estimator, std::size_t m) {
  Metrics metrics;
  for (const auto& field : kMapMetricFields) {
    estimator.add(
        metrics, std::string(field.name),
        [&](const Measured& entry) -> std::optional<double> {
          if (std::isnan(entry.map_means[m])) return {};
          return entry.maps[m].*field.value;
        },
        mean_statistic);
  }
  estimator.add(
      metrics, "separation_auc",
      [m](const Measured& entry) -> std::optional<Pair> {
        if (std::isnan(entry.map_means[m])) return {};
        return Pair{entry.map_means[m], entry.wrong[m] ? 1.0 : 0.0};
      },
      [](const std::vector<Pair>& pairs) {
        const auto [means, wrong] = unzip(pairs);
        return auc_statistic(means, std::vector<std::uint8_t>(wrong.begin(), wrong.end()));
      });
  return metrics;
}

template <class Counts, class Found>
Metrics keyword_report(const Estimator& estimator, Counts Measured::*counts,
                       Found Measured::*found) {
  Metrics metrics;
  for (const auto& [name, measure] : kWordMeasures) {
    const auto get = [&](const Measured& entry) { return entry.*counts; };
    estimator.add(metrics, name, get, [measure = measure](const std::vector<WordCounts>& prompts) {
      return corpus_statistic(prompts, measure);
    });
    estimator.add(metrics, std::string("prompt_") + name, get,
                  [measure = measure](const std::vector<WordCounts>& prompts) {
                    return per_prompt_statistic(prompts, measure);
                  });
  }
  for (std::size_t kind = 1; kind < kWordKinds.size(); ++kind) {
    estimator.add(
        metrics, "recall_" + std::string(kWordKinds[kind]),
        [&](const Measured& entry) -> std::optional<WordCounts> {
          if (!(entry.*found)) return {};
          const auto& words = (*(entry.*found))[kind];
          if (words == WordCounts{}) return {};
          return words;
        },
        [](const std::vector<WordCounts>& prompts) {
          return corpus_statistic(prompts, WordMeasure::kRecall);
        });
  }
  return metrics;
}

nlohmann::json metrics_json(const Metrics& metrics) {
  auto object = nlohmann::json::object();
  for (const auto& [name, estimate] : metrics) {
    object[name] = estimate.value;
    if (!std::isnan(estimate.low)) {
      object[name + "_interval"] = {estimate.low, estimate.high};
    }
  }
  return object;
}

nlohmann::json metrics_json(const std::map<std::string, Metrics>& sections) {
  auto object = nlohmann::json::object();
  for (const auto& [name, metrics] : sections) object[name] = metrics_json(metrics);
  return object;
}

// MSE of a map is a few thousandths.
std::string figure(const std::string& name, double value) {
  if (std::isnan(value)) return "n/a";
  std::ostringstream text;
  text << std::fixed << std::setprecision(name.starts_with("mse") ? 5 : 3) << value;
  return text.str();
}

std::string cell(const Metrics* metrics, const std::string& name, bool interval) {
  const auto found = metrics ? metrics->find(name) : Metrics::const_iterator{};
  if (!metrics || found == metrics->end()) return "n/a";
  const auto& estimate = found->second;
  auto text = figure(name, estimate.value);
  if (interval && !std::isnan(estimate.low)) {
    text += " [" + figure(name, estimate.low) + ", " + figure(name, estimate.high) + "]";
  }
  return text;
}

const Metrics* find(const std::map<std::string, Metrics>& sections, std::string_view name) {
  const auto found = sections.find(std::string(name));
  return found == sections.end() ? nullptr : &found->second;
}

/// Rows of cells under titles; a row with one cell is a heading.
class Table {
 public:
  explicit Table(const std::vector<ReportColumn>& columns) : columns_(columns) {
    auto& titles = rows_.emplace_back(1, "");
    for (const auto& column : columns) titles.push_back(column.title);
    auto& counts = rows_.emplace_back(1, "pictures");
    for (const auto& column : columns) counts.push_back(std::to_string(column.report.pictures));
  }

  /// @param get  Report -> Metrics or null
  template <class Get>
  void section(const std::string& heading, const std::vector<std::string>& names, const Get& get) {
    const auto known = [&](const std::string& name) {
      return std::any_of(columns_.begin(), columns_.end(), [&](const auto& column) {
        const Metrics* metrics = get(column.report);
        return metrics && metrics->count(name) > 0;
      });
    };
    if (std::none_of(names.begin(), names.end(), known)) return;
    rows_.push_back({heading});
    for (const auto& name : names) {
      if (!known(name)) continue;
      auto& row = rows_.emplace_back(1, "  " + name);
      for (const auto& column : columns_) {
        row.push_back(cell(get(column.report), name, column.intervals));
      }
    }
  }

  std::string text() const {
    std::vector<std::size_t> widths(columns_.size() + 1, 0);
    for (const auto& row : rows_) {
      if (row.size() == 1) continue;
      for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
    }
    std::ostringstream out;
    for (const auto& row : rows_) {
      std::ostringstream line;
      for (std::size_t c = 0; c < row.size(); ++c) {
        if (c > 0) line << "  ";
        line << std::left << std::setw(static_cast<int>(widths[c])) << row[c];
      }
      auto text = line.str();
      text.erase(text.find_last_not_of(' ') + 1);
      out << text << '\n';
    }
    return out.str();
  }

 private:
  const std::vector<ReportColumn>& columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace

Measured measure(std::int32_t picture, const Opinion& opinion, const Target& target) {
  Measured measured;
  measured.picture = picture;
  measured.said_scores.fill(kNaN);
  std::copy_n(opinion.scores.begin(), std::min(opinion.scores.size(), kScoreNames.size()),
              measured.said_scores.begin());
  measured.target_scores = target.scores;
  measured.wrong = target.wrong;
  measured.map_means.fill(kNaN);
  for (std::size_t m = 0; m < kMapNames.size(); ++m) {
    if (!opinion.maps[m].defined()) continue;
    const auto annotated = target.maps[m].unsqueeze(0);  // [1, H, W]
    auto said = opinion.maps[m].to(torch::kFloat).unsqueeze(0);
    if (said.sizes() != annotated.sizes()) {
      said = io::resize(said, annotated.size(1), annotated.size(2));
    }
    measured.maps[m] = map_metrics(said, annotated).front();
    measured.map_means[m] = said.mean(torch::kDouble).item<double>();
  }
  const auto count = [&](const auto& said, auto& counts, auto& found) {
    if (!said) return;
    counts = count_words(*said, target.misaligned_words);
    if (!target.word_kinds.empty()) found = count_kinds(*said, target.word_kinds);
  };
  count(opinion.words, measured.words, measured.found);
  count(opinion.written, measured.written, measured.written_found);
  return measured;
}

Report report(const std::vector<Measured>& measured, const BootstrapOptions& options) {
  const Estimator estimator(measured, options);
  Report result;
  result.pictures = estimator.groups();
  for (std::size_t k = 0; k < kScoreNames.size(); ++k) {
    auto metrics = score_report(estimator, k);
    if (!metrics.empty()) result.scores.emplace(kScoreNames[k], std::move(metrics));
  }
  for (std::size_t m = 0; m < kMapNames.size(); ++m) {
    auto metrics = map_report(estimator, m);
    if (!metrics.empty()) result.maps.emplace(kMapNames[m], std::move(metrics));
  }
  result.keywords = keyword_report(estimator, &Measured::words, &Measured::found);
  result.written_keywords = keyword_report(estimator, &Measured::written, &Measured::written_found);
  return result;
}

nlohmann::json to_json(const Report& report) {
  auto json = nlohmann::json{{"pictures", report.pictures},
                             {"scores", metrics_json(report.scores)},
                             {"maps", metrics_json(report.maps)},
                             {"keywords", metrics_json(report.keywords)}};
  if (!report.written_keywords.empty()) {
    json["keywords_greedy"] = metrics_json(report.written_keywords);
  }
  return json;
}

std::string report_table(const std::vector<ReportColumn>& columns) {
  Table table(columns);
  for (const auto score : kScoreNames) {
    table.section(std::string(score), {"plcc", "srcc", "mse"},
                  [&](const Report& report) { return find(report.scores, score); });
  }
  std::vector<std::string> map_names;
  for (const auto& field : kMapMetricFields) map_names.emplace_back(field.name);
  map_names.emplace_back("separation_auc");
  for (const auto map : kMapNames) {
    table.section(std::string(map) + " map", map_names,
                  [&](const Report& report) { return find(report.maps, map); });
  }
  std::vector<std::string> word_names;
  for (const std::string prefix : {"", "prompt_"}) {
    for (const auto& [name, measure] : kWordMeasures) word_names.push_back(prefix + name);
  }
  for (const auto kind : kWordKinds) word_names.push_back("recall_" + std::string(kind));
  table.section("misaligned words, by probability", word_names,
                [](const Report& report) { return &report.keywords; });
  table.section("misaligned words, by greedy decoding", word_names,
                [](const Report& report) { return &report.written_keywords; });
  return table.text();
}

}  // namespace rahf::reward
