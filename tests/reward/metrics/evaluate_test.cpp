#include "rahf/reward/metrics/evaluate.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "rahf/core/random.h"
#include "support/catch.h"

using namespace rahf::reward;

namespace {

Target target_with(std::array<double, 4> scores, const torch::Tensor& map,
                   std::vector<std::uint8_t> words) {
  return {.scores = scores,
          .maps = {map, map},
          .misaligned_words = std::move(words),
          .wrong = {map.max().item<float>() > 0, false},
          .word_kinds = {}};
}

// Twenty pictures and an opinion on each that knows something.
std::vector<Measured> noisy_opinions() {
  auto engine = rahf::Randomness(1).engine("opinions", 0);
  std::vector<Measured> measured;
  for (std::int32_t i = 0; i < 20; ++i) {
    std::array<double, 4> scores;
    std::vector<double> said;
    for (double& score : scores) {
      score = rahf::uniform(engine);
      said.push_back(score + .2 * rahf::normal(engine));
    }
    auto map = torch::zeros({8, 8});
    if (i % 2) map.slice(0, 0, 1 + i % 5) = 1;
    auto target = target_with(scores, map, {1, 0, static_cast<std::uint8_t>(i % 3 == 0)});
    target.word_kinds = {1, 0, static_cast<std::uint8_t>(i % 3 == 0 ? 5 : 0)};
    const auto heat = (map + .5 * torch::rand({8, 8})).clamp(0, 1);
    measured.push_back(measure(
        i, {.scores = said, .maps = {heat, heat}, .words = {{1, 0, 0}}, .written = {}}, target));
  }
  return measured;
}

}  // namespace

TEST_CASE("report equals figures worked by hand", "[reward][evaluate]") {
  const auto map = torch::tensor({{1.F, 0.F}, {0.F, 0.F}});
  std::vector<Measured> measured;
  // The second picture is clean, and the opinion's map of it fainter.
  measured.push_back(measure(
      0,
      {.scores = {.1, .5, 0, 1}, .maps = {map, {}}, .words = {{1, 1, 0}}, .written = {{0, 0, 0}}},
      target_with({.2, .5, 0, 1}, map, {1, 0, 0})));
  measured.push_back(measure(1,
                             {.scores = {.7, .5, 1, 0},
                              .maps = {.5 * map, {}},
                              .words = {{0, 0, 1}},
                              .written = {{0, 0, 1}}},
                             target_with({.4, .1, 1, 1}, torch::zeros({2, 2}), {0, 0, 1})));
  const auto got = report(measured, {.resamples = 0});

  CHECK(got.pictures == 2);
  const auto& plausibility = got.scores.at("plausibility");
  CHECK(plausibility.at("plcc").value == Approx(1));
  CHECK(plausibility.at("mse").value == Approx((.01 + .09) / 2));
  CHECK(std::isnan(got.scores.at("alignment").at("plcc").value));
  const auto& implausibility = got.maps.at("implausibility");
  CHECK(implausibility.at("mse").value == Approx((0 + .25 / 4) / 2));
  CHECK(implausibility.at("mse_empty").value == Approx(.25 / 4));
  CHECK(implausibility.at("cc").value == Approx(1));  // Of the first picture alone.
  CHECK(implausibility.at("separation_auc").value == 1);
  CHECK(got.maps.count("misalignment") == 0);
  CHECK(got.keywords.at("precision").value == Approx(2.0 / 3));
  CHECK(got.keywords.at("recall").value == 1);
  CHECK(got.keywords.at("prompt_precision").value == Approx(.75));
  CHECK(got.written_keywords.at("recall").value == .5);
  CHECK(got.keywords.count("recall_colour") == 0);
}

TEST_CASE("measure resizes an opinion's map to the target's", "[reward][evaluate]") {
  const auto target = target_with({}, torch::ones({4, 4}), {});
  const auto measured = measure(
      0, {.scores = {}, .maps = {torch::full({2, 2}, .5), {}}, .words = {}, .written = {}}, target);
  CHECK(measured.maps[0].mse == Approx(.25));
  CHECK(std::isnan(measured.map_means[1]));
}

TEST_CASE("report gives the recall of every kind of error that occurs", "[reward][evaluate]") {
  const auto got = report(noisy_opinions(), {.resamples = 50});
  CHECK(got.keywords.at("recall_colour").value == 1);
  CHECK(got.keywords.at("recall_relation").value == 0);
  CHECK(got.keywords.count("recall_size") == 0);
  CHECK(got.keywords.count("recall_none") == 0);
}

TEST_CASE("report's intervals hold their figures", "[reward][evaluate]") {
  const auto got = report(noisy_opinions(), {.resamples = 200});
  for (const auto* name : {"plcc", "srcc", "mse"}) {
    const auto& estimate = got.scores.at("overall").at(name);
    CHECK(estimate.low < estimate.value);
    CHECK(estimate.value < estimate.high);
  }
  const auto& auc = got.maps.at("misalignment").at("auc_judd");
  CHECK(auc.low <= auc.value);
  CHECK(auc.value <= auc.high);
  // Every picture is there, but none mismatched.
  CHECK(std::isnan(got.maps.at("misalignment").at("separation_auc").value));
}

TEST_CASE("report does not depend on how pictures are numbered", "[reward][evaluate]") {
  auto measured = noisy_opinions();
  const auto plain = report(measured, {.resamples = 20});
  for (auto& one : measured) one.picture = 7 * one.picture + 3;
  const auto spread = report(measured, {.resamples = 20});
  CHECK(spread.pictures == 20);
  CHECK(to_json(spread).dump() == to_json(plain).dump());
}

TEST_CASE("to_json has the shape that programs rely on", "[reward][evaluate]") {
  const auto json = to_json(report(noisy_opinions(), {.resamples = 20}));
  for (const auto* score : {"plausibility", "alignment", "aesthetics", "overall"}) {
    CHECK(json.at("scores").at(score).at("plcc").is_number());
    CHECK(json.at("scores").at(score).at("srcc").is_number());
    CHECK(json.at("scores").at(score).at("plcc_interval").size() == 2);
  }
  for (const auto* map : {"implausibility", "misalignment"}) {
    for (const auto* name : {"cc", "auc_judd", "mse", "mse_empty", "nss", "kld", "sim"}) {
      CHECK(json.at("maps").at(map).at(name).is_number());
    }
  }
  for (const auto* name : {"precision", "recall", "f1"}) {
    CHECK(json.at("keywords").at(name).is_number());
  }
  CHECK(json.count("keywords_greedy") == 0);
  const auto text = json.dump();
  CHECK(nlohmann::json::parse(text).at("maps").at("misalignment").at("separation_auc").is_null());
}

TEST_CASE("report of nothing is empty", "[reward][evaluate]") {
  const auto json = to_json(report({}));
  CHECK(json.at("pictures") == 0);
  CHECK(json.at("scores").empty());
}

TEST_CASE("report_table aligns its columns and says what is missing", "[reward][evaluate]") {
  auto measured = noisy_opinions();
  const auto full = report(measured, {.resamples = 20});
  for (auto& one : measured) {
    one.said_scores.fill(std::numeric_limits<double>::quiet_NaN());
    one.words.reset();
  }
  const auto table = report_table(
      {{"model", full, true}, {"coloured pixels", report(measured, {.resamples = 0}), false}});
  std::istringstream lines(table);
  std::string titles, pictures, heading, plcc;
  std::getline(lines, titles);
  std::getline(lines, pictures);
  std::getline(lines, heading);
  std::getline(lines, plcc);
  CHECK(pictures.find("20", pictures.find("20") + 1) == titles.find("coloured"));
  CHECK(heading == "plausibility");
  CHECK(plcc.find("0.") == titles.find("model"));
  CHECK(plcc.find("n/a") == titles.find("coloured"));
  CHECK(plcc.find("]") != std::string::npos);
  CHECK(table.find(" \n") == std::string::npos);
}
