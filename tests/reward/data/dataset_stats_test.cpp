#include "rahf/reward/data/dataset_stats.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "rahf/reward/data/consolidate.h"
#include "reward/dataset_folder.h"
#include "support/catch.h"

using namespace rahf::reward;

namespace {

/// A dataset of pictures of 8 x 8 with these annotations each.
class Judged {
 public:
  explicit Judged(const std::vector<std::vector<Annotation>>& pictures) {
    std::vector<DatasetRow> rows;
    for (const auto& said : pictures) {
      auto row = counting_row(std::ssize(rows));
      const auto feedback = consolidate(said, 8, 8);
      row.image = said[0].image;
      row.prompt = said[0].prompt;
      row.annotations = said;
      row.scores = feedback.scores;
      row.misaligned_words = feedback.misaligned_words;
      rows.push_back(row);
    }
    DatasetWriter writer(folder_ / "a.h5", 8, {});
    writer.append(rows);
    writer.finish();
  }
  DatasetStats stats() const {
    const Dataset dataset({folder_ / "a.h5"});
    return dataset_stats(dataset, dataset.indices("all"));
  }

 private:
  ScratchFolder folder_;
};

Annotation said(int picture, const std::string& who, std::int64_t score) {
  return feedback(std::to_string(picture) + ".png", "one two", who, score);
}

}  // namespace

TEST_CASE("stats_text and stats_json have no agreement of single annotators", "[reward][stats]") {
  const auto stats = Judged({{said(0, "a", 1)}, {said(1, "b", 3)}}).stats();
  const auto json = nlohmann::json::parse(stats_json(stats));
  CHECK(json["scores"]["overall"]["all_agree"].is_null());
  CHECK(json["scores"]["overall"]["within_one"].is_null());
  const auto text = stats_text(stats);
  CHECK(text.find("overall            0.250     0.250       n/a       n/a") != text.npos);
}

TEST_CASE("dataset_stats counts what was worked out by hand", "[reward][stats]") {
  auto clicked = said(1, "a", 5);
  clicked.implausible_points = {{1, 1}, {2, 2}};
  clicked.misaligned_words = {0};
  const auto stats = Judged({{said(0, "a", 1), said(0, "b", 3), said(0, "c", 2)},
                             {clicked, said(1, "b", 5)},
                             {said(2, "c", 4)}})
                         .stats();
  CHECK(stats.pictures == 3);
  CHECK(stats.prompts == 1);
  CHECK(stats.annotators == 3);
  CHECK(stats.records == 6);
  CHECK(stats.words == Approx(2));
  CHECK(stats.misaligned_words == Approx(0));  // One of two is no majority.
  CHECK(stats.flawless_share == Approx(2.0 / 3));
  CHECK(stats.annotators_histogram.counts[1] == 1);
  CHECK(stats.annotators_histogram.counts[3] == 1);
  CHECK(stats.maps[0].empty_share == Approx(2.0 / 3));
  CHECK(stats.maps[0].clicks == Approx(2.0 / 6));
  CHECK(stats.maps[0].clicks_histogram.counts[0] == 2);
  CHECK(stats.maps[0].clicks_histogram.counts[1] == 1);
  CHECK(stats.maps[1].empty_share == Approx(1));

  const auto& score = stats.scores[0];  // Means 1/4, 1, 3/4.
  CHECK(score.mean == Approx(2.0 / 3));
  CHECK(score.std == Approx(std::sqrt(7.0 / 72)));
  CHECK(score.values.counts == std::vector<std::int64_t>{0, 0, 1, 0, 0, 0, 0, 1, 0, 1});
  CHECK(score.max_difference.counts == std::vector<std::int64_t>{1, 0, 1, 0, 0});
  CHECK(std::isnan(score.pair_correlation));  // No two annotators share three pictures.
  // Ordered pairs (1,3) (1,2) (3,2) and back, (5,5) twice: x = 1 1 3 3 2 2 5 5, y = 3 2 1 2 1 3
  // 5 5.
  CHECK(score.pooled_correlation == Approx((8 * 72.0 - 22 * 22) / (8 * 78.0 - 22 * 22)));
}

TEST_CASE("dataset_stats weighs the correlation of two annotators by what they share",
          "[reward][stats]") {
  std::vector<std::vector<Annotation>> pictures;
  for (int i = 1; i <= 5; ++i) pictures.push_back({said(i, "a", i), said(i, "b", i)});  // r = 1
  for (int i = 1; i <= 3; ++i) pictures.push_back({said(5 + i, "c", i), said(5 + i, "b", 4 - i)});
  for (int i = 1; i <= 4; ++i) pictures.push_back({said(8 + i, "d", 3), said(8 + i, "e", i)});
  const auto stats = Judged(pictures).stats();  // c and b: r = -1; d is constant.
  CHECK(stats.scores[3].pair_correlation == Approx((5 * 1.0 - 3 * 1.0) / 8));
}

TEST_CASE("stats_json and stats_text show the statistics", "[reward][stats]") {
  const auto stats = Judged({{said(0, "a", 1), said(0, "b", 3)}}).stats();
  const auto json = nlohmann::json::parse(stats_json(stats));
  CHECK(json["pictures"] == 1);
  CHECK(json["scores"]["alignment"]["max_difference"]["counts"][2] == 1);
  CHECK(json["scores"]["overall"]["pair_correlation"].is_null());
  const auto text = stats_text(stats);
  CHECK(text.find("1 pictures, 1 prompts, 2 records by 2 annotators") != std::string::npos);
  CHECK(text.find("n/a") != std::string::npos);
}

TEST_CASE("draw_histograms draws bars as tall as their counts", "[reward][stats][plot]") {
  const Histogram histogram{.title = "t", .labels = {"a", "b", "c"}, .counts = {4, 2, 0}};
  CHECK(histogram.share(0) == Approx(2.0 / 3));
  const auto picture = draw_histograms({histogram}, 1);
  std::map<std::int64_t, std::int64_t> tall;  // Blue pixels by column.
  for (std::int64_t y = 0; y < picture.height; ++y) {
    for (std::int64_t x = 0; x < picture.width; ++x) {
      const auto* pixel = picture.at(y, x);
      tall[x] += pixel[0] == 66 && pixel[1] == 118 && pixel[2] == 190;
    }
  }
  const auto at = [&](std::int64_t bar) { return tall[44 + (2 * bar + 1) * 242 / 6]; };
  CHECK(at(0) > 100);
  CHECK(std::abs(2 * at(1) - at(0)) <= 1);
  CHECK(at(2) == 0);
  CHECK_NOTHROW(draw_histograms({{.title = "none", .labels = {"a"}, .counts = {0}}}, 3));
}
