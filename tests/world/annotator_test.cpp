#include "rahf/world/annotator.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "rahf/world/picture.h"
#include "support/catch.h"

using namespace rahf::world;

namespace {

using Values = std::vector<double>;

double correlation(const Values& a, const Values& b) {
  const auto n = static_cast<double>(a.size());
  double ma = 0, mb = 0, ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) ma += a[i] / n, mb += b[i] / n;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - ma) * (b[i] - mb);
    aa += (a[i] - ma) * (a[i] - ma);
    bb += (b[i] - mb) * (b[i] - mb);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

/// 1 within 1/20 of the side around a click.
void add_disks(Values& map, const std::vector<std::array<double, 2>>& points, double share) {
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) {
      const bool near = std::any_of(points.begin(), points.end(), [&](const auto& point) {
        return std::hypot(x + 0.5 - point[0], y + 0.5 - point[1]) <= 64 / 20.0;
      });
      if (near) map[y * 64 + x] += share;
    }
  }
}

struct F1 {
  int hit = 0, off = 0;
  void add(bool said, bool holds) {
    hit += said && holds;
    off += said != holds;
  }
  double value() const { return 2.0 * hit / (2 * hit + off); }
};

}  // namespace

TEST_CASE("annotators are as reliable as people are meant to be here", "[world][annotator]") {
  constexpr int kPictures = 600;
  std::array<Values, 4> truth_scores, mean_scores, one_score, others_scores;
  std::array<double, 2> map_sum{};
  std::array<int, 2> map_count{};
  F1 majority, one_against_others;
  for (int i = 0; i < kPictures; ++i) {
    const auto picture = draw_picture({}, rahf::Randomness(11), i);
    const auto& truth = picture.truth;
    const auto& said = picture.annotations;
    for (int k = 0; k < 4; ++k) {
      const double a = said[0].scores[k], b = said[1].scores[k], c = said[2].scores[k];
      truth_scores[k].push_back(truth.scores[k]);
      mean_scores[k].push_back((a + b + c) / 3);
      one_score[k].insert(one_score[k].end(), {a, b, c});
      others_scores[k].insert(others_scores[k].end(), {(b + c) / 2, (a + c) / 2, (a + b) / 2});
    }
    for (int m = 0; m < 2; ++m) {
      Values map(64 * 64);
      for (const auto& one : said) {
        add_disks(map, m == 0 ? one.implausible_points : one.misaligned_points, 1 / 3.0);
      }
      if (*std::max_element(map.begin(), map.end()) == 0) continue;
      const auto& mask = m == 0 ? truth.implausibility : truth.misalignment;
      map_sum[m] += correlation(map, Values(mask.begin(), mask.end()));
      ++map_count[m];
    }
    for (std::size_t w = 0; w < truth.words.size(); ++w) {
      std::array<int, 3> marked{};
      for (int j = 0; j < 3; ++j) {
        const auto& words = said[j].misaligned_words;
        marked[j] = std::find(words.begin(), words.end(), w) != words.end();
      }
      const int votes = marked[0] + marked[1] + marked[2];
      majority.add(votes >= 2, truth.words[w] != WordError::kNone);
      for (const int one : marked) one_against_others.add(one, votes - one >= 1);
    }
  }
  const std::array<double, 4> expected = {.98, .96, .94, .90};
  const std::array<double, 4> expected_one = {.91, .85, .78, .65};
  for (int k = 0; k < 4; ++k) {
    INFO("score " << k);
    CHECK(correlation(truth_scores[k], mean_scores[k]) == Approx(expected[k]).margin(.02));
    CHECK(correlation(one_score[k], others_scores[k]) == Approx(expected_one[k]).margin(.05));
  }
  CHECK(map_sum[0] / map_count[0] == Approx(.79).margin(.03));
  CHECK(map_sum[1] / map_count[1] == Approx(.80).margin(.03));
  CHECK(majority.value() == Approx(.97).margin(.02));
  CHECK(one_against_others.value() == Approx(.83).margin(.05));
}

TEST_CASE("annotators are 27 different people", "[world][annotator]") {
  std::set<std::string> names;
  for (const auto& annotator : annotators()) names.insert(annotator.name);
  CHECK(names.size() == 27);
  CHECK(annotators()[7].name == "a07");
  CHECK(annotators()[7].bias != annotators()[8].bias);
}

TEST_CASE("annotate clicks near the marked region and follows the score", "[world][annotator]") {
  const Annotator careful{.name = "a", .bias = 0, .scale = 1, .care = 1e-6};
  Truth truth;
  truth.scores = {0, 0.25F, 0.5F, 1};
  truth.implausibility.resize(64 * 64);
  truth.misalignment.resize(64 * 64);
  truth.words = {WordError::kNone, WordError::kColour, WordError::kNone};
  for (int y = 10; y < 30; ++y) {
    for (int x = 40; x < 44; ++x) truth.implausibility[y * 64 + x] = 255;
  }
  std::mt19937_64 engine(1);
  const auto said = annotate(careful, truth, 64, engine);
  CHECK(said.scores == std::array{1, 2, 3, 5});
  CHECK(said.misaligned_words == std::vector<std::int64_t>{1});
  CHECK(said.misaligned_points.empty());
  REQUIRE(said.implausible_points.size() >= 3);
  CHECK(said.implausible_points.size() <= 8);
  for (const auto& [x, y] : said.implausible_points) {
    CHECK(x >= 39.9);
    CHECK(x <= 44.1);
    CHECK(y >= 9.9);
    CHECK(y <= 30.1);
  }
}
