#include "rahf/reward/metrics/score_metrics.h"

#include <cmath>
#include <filesystem>
#include <random>
#include <vector>

#include "rahf/core/error.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/random.h"
#include "support/catch.h"
#include "support/paths.h"

using namespace rahf::reward;
using Values = std::vector<double>;

TEST_CASE("plcc and srcc equal values worked by hand", "[reward][score_metrics]") {
  const Values x = {1, 2, 3, 4}, y = {1, 3, 2, 8};
  // Deviations -1.5 -.5 .5 1.5 and -2.5 -.5 -1.5 4.5: 10 / sqrt(5 * 29).
  CHECK(plcc(x, y) == Approx(10 / std::sqrt(145.0)));
  // Ranks 1 2 3 4 and 1 3 2 4: 4 / 5.
  CHECK(srcc(x, y) == Approx(.8));
}

TEST_CASE("average_ranks gives tied values the mean of their places", "[reward][score_metrics]") {
  CHECK(average_ranks(Values{3, 1, 3, 2, 3}) == Values{4, 1, 4, 2, 4});
  CHECK(average_ranks(Values{7, 7}) == Values{1.5, 1.5});
  CHECK(average_ranks(Values{}).empty());
}

TEST_CASE("auc counts ties half", "[reward][score_metrics]") {
  CHECK(auc(Values{2, 3}, Values{1, 1}) == 1);
  CHECK(auc(Values{1, 2}, Values{1, 2}) == .5);
  CHECK(auc(Values{2, 3}, Values{2}) == .75);
  CHECK(std::isnan(auc(Values{1}, Values{})));
}

TEST_CASE("Correlations are NaN where one side is constant or too short",
          "[reward][score_metrics]") {
  const Values thirds(7, 1.0 / 3);  // Their mean is not exactly a third.
  const Values ramp = {1, 2, 3, 4, 5, 6, 7};
  CHECK(std::isnan(plcc(thirds, ramp)));
  CHECK(std::isnan(srcc(ramp, thirds)));
  CHECK(std::isnan(plcc(Values{1}, Values{2})));
  CHECK(std::isnan(srcc(Values{}, Values{})));
  REQUIRE_THROWS_MATCHES(plcc(ramp, Values{1, 2}), rahf::ShapeError, Says("got 7 and 2"));
}

TEST_CASE("srcc and auc ignore increasing transforms, plcc affine ones",
          "[reward][score_metrics]") {
  auto engine = rahf::Randomness(GENERATE(1, 2, 3)).engine("test", 0);
  Values x, y, exp_x, affine_x;
  for (int i = 0; i < 50; ++i) {
    x.push_back(std::round(4 * rahf::normal(engine)) / 4);
    y.push_back(x.back() + rahf::normal(engine));
    exp_x.push_back(std::exp(x.back()));
    affine_x.push_back(3 * x.back() - 7);
  }
  CHECK(srcc(exp_x, y) == Approx(srcc(x, y)).epsilon(1e-12));
  CHECK(plcc(affine_x, y) == Approx(plcc(x, y)).epsilon(1e-12));
  CHECK(std::abs(plcc(exp_x, y) - plcc(x, y)) > .01);
  const auto half = [](const Values& v, bool second) {
    return second ? Values(v.begin() + 25, v.end()) : Values(v.begin(), v.begin() + 25);
  };
  CHECK(auc(half(exp_x, false), half(exp_x, true)) == auc(half(x, false), half(x, true)));
}

TEST_CASE("Statistics of a resample equal those of the data written out",
          "[reward][score_metrics]") {
  auto engine = rahf::Randomness(5).engine("test", 0);
  Values x, y, x_out, y_out, in, out;
  std::vector<std::uint8_t> positive;
  std::vector<std::int32_t> counts;
  for (int i = 0; i < 40; ++i) {
    x.push_back(static_cast<double>(rahf::uniform_int(engine, 8)));
    y.push_back(x.back() + 2 * rahf::normal(engine));
    positive.push_back(rahf::uniform(engine) < .4);
    counts.push_back(static_cast<std::int32_t>(rahf::uniform_int(engine, 4)));
    for (int k = 0; k < counts.back(); ++k) {
      x_out.push_back(x.back());
      y_out.push_back(y.back());
      (positive.back() ? in : out).push_back(x.back());
    }
  }
  CHECK(plcc_statistic(x, y)(counts) == Approx(plcc(x_out, y_out)).epsilon(1e-12));
  CHECK(srcc_statistic(x, y)(counts) == Approx(srcc(x_out, y_out)).epsilon(1e-12));
  CHECK(auc_statistic(x, positive)(counts) == Approx(auc(in, out)).epsilon(1e-12));
}

TEST_CASE("plcc and srcc equal scipy's, with ties and without", "[reward][score_metrics][parity]") {
  const auto fixture =
      rahf::io::read_safetensors(rahf::test::fixtures() / "metrics" / "scores.safetensors");
  const auto row = [&](const char* name, std::int64_t i) {
    const auto values = fixture.tensors.at(name)[i].contiguous();
    const auto* data = values.const_data_ptr<double>();
    return Values(data, data + values.numel());
  };
  for (std::int64_t i = 0; i < 2; ++i) {
    CHECK(plcc(row("x", i), row("y", i)) ==
          Approx(fixture.tensors.at("plcc")[i].item<double>()).margin(1e-12));
    CHECK(srcc(row("x", i), row("y", i)) ==
          Approx(fixture.tensors.at("srcc")[i].item<double>()).margin(1e-12));
  }
}
