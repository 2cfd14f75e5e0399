#include "rahf/reward/data/dataset_stats.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "rahf/core/words.h"

namespace rahf::reward {
namespace {

constexpr std::size_t kScores = kScoreNames.size();

/// Sums from which Pearson's correlation of pairs (x, y) follows.
struct PairSums {
  double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;

  void add(double a, double b) {
    n += 1;
    x += a;
    y += b;
    xx += a * a;
    yy += b * b;
    xy += a * b;
  }
  /// NaN if one side is constant. The sums are of small whole numbers, so exact.
  double correlation() const {
    const double spread = (n * xx - x * x) * (n * yy - y * y);
    return spread > 0 ? (n * xy - x * y) / std::sqrt(spread)
                      : std::numeric_limits<double>::quiet_NaN();
  }
};

/// Counts of whole numbers; the last bar holds all from `last` on.
Histogram number_histogram(std::string title, std::int64_t last, bool open = true) {
  Histogram histogram{.title = std::move(title), .labels = {}, .counts = {}};
  for (std::int64_t i = 0; i <= last; ++i) {
    histogram.labels.push_back(std::to_string(i) + (open && i == last ? "+" : ""));
  }
  histogram.counts.resize(last + 1);
  return histogram;
}

void count(Histogram& histogram, std::int64_t value) {
  ++histogram.counts[std::min(value, std::ssize(histogram.counts) - 1)];
}

/// Shares of the pictures with two annotators at least: all alike, and at most one point apart.
struct Agreement {
  double equal = std::numeric_limits<double>::quiet_NaN();
  double near = std::numeric_limits<double>::quiet_NaN();
};

Agreement agreement(const ScoreStats& score) {
  const auto& counts = score.max_difference.counts;
  if (std::all_of(counts.begin(), counts.end(), [](auto n) { return n == 0; })) return {};
  const double equal = score.max_difference.share(0);
  return {equal, equal + score.max_difference.share(1)};
}

/// Clicks are counted as none, 1 to 5, 6 to 10, ...; a bar has the name of its least number.
constexpr std::int64_t kClicksPerBar = 5;
constexpr std::int64_t kClickBars = 12;

Histogram click_histogram(std::string title) {
  Histogram histogram{
      .title = std::move(title), .labels = {"0"}, .counts = std::vector<std::int64_t>(kClickBars)};
  for (std::int64_t bar = 1; bar < kClickBars; ++bar) {
    const bool last = bar == kClickBars - 1;
    histogram.labels.push_back(std::to_string((bar - 1) * kClicksPerBar + 1) + (last ? "+" : ""));
  }
  return histogram;
}

class Collector {
 public:
  Collector() {
    stats_.words_histogram = number_histogram("words per prompt", 30);
    stats_.misaligned_words_histogram = number_histogram("misaligned words per picture", 8);
    stats_.annotators_histogram = number_histogram("annotators per picture", 8);
    stats_.splits = {.title = "split", .labels = {}, .counts = {0, 0, 0}};
    stats_.splits.labels.assign(kSplitNames.begin(), kSplitNames.end());
    for (std::size_t k = 0; k < kScores; ++k) {
      const std::string name(kScoreNames[k]);
      auto& score = stats_.scores[k];
      score.values = {.title = name + ": mean score", .labels = {}, .counts = {}};
      for (int bin = 0; bin < 10; ++bin) score.values.labels.push_back("." + std::to_string(bin));
      score.values.counts.resize(10);
      score.max_difference =
          number_histogram(name + ": max difference of annotators", 4, /*open=*/false);
    }
    for (std::size_t m = 0; m < kMapNames.size(); ++m) {
      stats_.maps[m].clicks_histogram =
          click_histogram(std::string(kMapNames[m]) + ": clicks per picture");
    }
  }

  void add(const Dataset& dataset, std::int64_t i) {
    const auto annotations = dataset.annotations(i);
    const auto& misaligned = dataset.misaligned_words(i);
    const auto missed = std::count(misaligned.begin(), misaligned.end(), 1);
    ++stats_.pictures;
    stats_.records += std::ssize(annotations);
    stats_.words += static_cast<double>(misaligned.size());
    stats_.misaligned_words += static_cast<double>(missed);
    count(stats_.words_histogram, std::ssize(misaligned));
    count(stats_.misaligned_words_histogram, missed);
    count(stats_.annotators_histogram, std::ssize(annotations));
    count(stats_.splits, static_cast<std::int64_t>(dataset.split(i)));
    prompts_.insert(dataset.prompt(i));
    for (const auto& annotation : annotations) annotators_.insert(annotation.annotator);
    for (std::size_t k = 0; k < kScores; ++k) add_score(k, dataset.scores(i)[k], annotations);
    bool flawless = missed == 0;
    for (std::size_t m = 0; m < kMapNames.size(); ++m) {
      flawless &= add_clicks(dataset, i, m, annotations);
    }
    stats_.flawless_share += flawless;
  }

  DatasetStats finish() {
    const auto pictures = static_cast<double>(std::max<std::int64_t>(stats_.pictures, 1));
    const auto records = static_cast<double>(std::max<std::int64_t>(stats_.records, 1));
    stats_.prompts = std::ssize(prompts_);
    stats_.annotators = std::ssize(annotators_);
    stats_.flawless_share /= pictures;
    stats_.words /= pictures;
    stats_.misaligned_words /= pictures;
    for (auto& map : stats_.maps) {
      map.empty_share /= pictures;
      map.clicks /= records;
    }
    for (std::size_t k = 0; k < kScores; ++k) {
      auto& score = stats_.scores[k];
      score.mean /= pictures;
      score.std = std::sqrt(std::max(0.0, score.std / pictures - score.mean * score.mean));
      score.pooled_correlation = pooled_[k].correlation();
      double sum = 0, weight = 0;
      for (const auto& [pair, sums] : pairs_) {
        const double correlation = sums[k].correlation();
        if (sums[k].n < 3 || std::isnan(correlation)) continue;
        sum += sums[k].n * correlation;
        weight += sums[k].n;
      }
      score.pair_correlation = weight > 0 ? sum / weight : std::numeric_limits<double>::quiet_NaN();
    }
    return std::move(stats_);
  }

 private:
  void add_score(std::size_t k, double mean, const std::vector<Annotation>& annotations) {
    auto& score = stats_.scores[k];
    score.mean += mean;
    score.std += mean * mean;
    // Thirds and the like are not whole in binary: a score on a bin's edge belongs above it.
    count(score.values, static_cast<std::int64_t>(std::floor(10 * mean + 1e-4)));
    if (annotations.size() < 2) return;
    std::int64_t least = 5, most = 1;
    for (const auto& one : annotations) {
      least = std::min(least, one.scores[k]);
      most = std::max(most, one.scores[k]);
      for (const auto& other : annotations) {
        if (&one == &other) continue;
        const auto a = static_cast<double>(one.scores[k]), b = static_cast<double>(other.scores[k]);
        pooled_[k].add(a, b);
        if (one.annotator < other.annotator) pairs_[{one.annotator, other.annotator}][k].add(a, b);
      }
    }
    count(score.max_difference, most - least);
  }

  /// @return  whether nobody clicked
  bool add_clicks(const Dataset& dataset, std::int64_t i, std::size_t m,
                  const std::vector<Annotation>& annotations) {
    auto& map = stats_.maps[m];
    std::int64_t clicks = 0;
    for (const auto& one : annotations) {
      clicks += std::ssize(m == 0 ? one.implausible_points : one.misaligned_points);
    }
    map.clicks += static_cast<double>(clicks);
    if (!annotations.empty()) {
      count(map.clicks_histogram, (clicks + kClicksPerBar - 1) / kClicksPerBar);
    }
    const bool empty = annotations.empty() ? !dataset.map(m, i).any().item<bool>() : clicks == 0;
    map.empty_share += empty;
    return empty;
  }

  DatasetStats stats_;
  std::set<std::string> prompts_, annotators_;
  std::array<PairSums, kScores> pooled_;
  std::map<std::pair<std::string, std::string>, std::array<PairSums, kScores>> pairs_;
};

}  // namespace

std::vector<const Histogram*> DatasetStats::histograms() const {
  std::vector<const Histogram*> all;
  for (const auto& score : scores) all.push_back(&score.values);
  for (const auto& score : scores) all.push_back(&score.max_difference);
  for (const auto& map : maps) all.push_back(&map.clicks_histogram);
  for (const auto* histogram :
       {&words_histogram, &misaligned_words_histogram, &annotators_histogram, &splits}) {
    all.push_back(histogram);
  }
  return all;
}

DatasetStats dataset_stats(const Dataset& dataset, const std::vector<std::int64_t>& rows) {
  Collector collector;
  for (const auto i : rows) collector.add(dataset, i);
  return collector.finish();
}

std::string stats_text(const DatasetStats& stats) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(3);
  out << stats.pictures << " pictures, " << stats.prompts << " prompts, " << stats.records
      << " records by " << stats.annotators << " annotators\n"
      << "flawless pictures " << 100 * stats.flawless_share << " %, words per prompt "
      << stats.words << ", misaligned words per picture " << stats.misaligned_words << "\n\n";

  const auto column = [&](const auto& value) -> std::ostream& {
    return out << std::right << std::setw(10) << value;
  };
  out << std::left << std::setw(14) << "score";
  for (const char* name : {"mean", "std", "all agree", "within 1", "pair r", "pooled r"}) {
    column(name);
  }
  out << '\n';
  for (std::size_t k = 0; k < kScores; ++k) {
    const auto& score = stats.scores[k];
    out << std::left << std::setw(14) << kScoreNames[k];
    const auto [equal, near] = agreement(score);
    for (const double value :
         {score.mean, score.std, equal, near, score.pair_correlation, score.pooled_correlation}) {
      if (std::isnan(value)) {
        column("n/a");
      } else {
        column(value);
      }
    }
    out << '\n';
  }
  out << '\n' << std::left << std::setw(14) << "map";
  column("empty") << std::setw(24) << "clicks per annotator" << '\n';
  for (std::size_t m = 0; m < kMapNames.size(); ++m) {
    out << std::left << std::setw(14) << kMapNames[m];
    column(stats.maps[m].empty_share) << std::setw(24) << stats.maps[m].clicks << '\n';
  }
  for (const auto* histogram : stats.histograms()) {
    out << '\n' << histogram->title << '\n';
    for (std::size_t i = 0; i < histogram->counts.size(); ++i) {
      if (histogram->counts[i] == 0) continue;
      out << std::setw(8) << histogram->labels[i] << std::setw(9) << histogram->counts[i]
          << std::setw(8) << std::setprecision(1) << 100 * histogram->share(i) << " %\n";
    }
  }
  return out.str();
}

std::string stats_json(const DatasetStats& stats) {
  using Json = nlohmann::ordered_json;
  const auto histogram = [](const Histogram& from) {
    return Json{{"labels", from.labels}, {"counts", from.counts}};
  };
  Json scores, maps;
  for (std::size_t k = 0; k < kScores; ++k) {
    const auto& score = stats.scores[k];
    scores[std::string(kScoreNames[k])] = {{"mean", score.mean},
                                           {"std", score.std},
                                           {"all_agree", agreement(score).equal},
                                           {"within_one", agreement(score).near},
                                           {"pair_correlation", score.pair_correlation},
                                           {"pooled_correlation", score.pooled_correlation},
                                           {"histogram", histogram(score.values)},
                                           {"max_difference", histogram(score.max_difference)}};
  }
  for (std::size_t m = 0; m < kMapNames.size(); ++m) {
    const auto& map = stats.maps[m];
    maps[std::string(kMapNames[m])] = {{"empty_share", map.empty_share},
                                       {"clicks_per_annotator", map.clicks},
                                       {"clicks", histogram(map.clicks_histogram)}};
  }
  const Json all = {{"pictures", stats.pictures},
                    {"prompts", stats.prompts},
                    {"records", stats.records},
                    {"annotators", stats.annotators},
                    {"flawless_share", stats.flawless_share},
                    {"words_per_prompt", stats.words},
                    {"misaligned_words_per_picture", stats.misaligned_words},
                    {"words", histogram(stats.words_histogram)},
                    {"misaligned_words", histogram(stats.misaligned_words_histogram)},
                    {"annotators_per_picture", histogram(stats.annotators_histogram)},
                    {"splits", histogram(stats.splits)},
                    {"scores", scores},
                    {"maps", maps}};
  return all.dump(2);
}

Image stats_picture(const DatasetStats& stats) {
  std::vector<Histogram> charts;
  for (const auto* histogram : stats.histograms()) charts.push_back(*histogram);
  return draw_histograms(charts, static_cast<std::int64_t>(kScores));
}

}  // namespace rahf::reward
