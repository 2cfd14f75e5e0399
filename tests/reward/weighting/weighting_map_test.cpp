#include "rahf/reward/weighting/weighting_map.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::Grid;
using namespace rahf::weighting;  // NOLINT

namespace {

torch::Tensor noise(at::IntArrayRef sizes) {
  return torch::rand(sizes, rahf::Randomness(5).generator("heat", 0));
}

}  // namespace

TEST_CASE("weighting_map has mean 1 over each picture and no gradient", "[reward][weighting]") {
  const auto strength = GENERATE(0.0, 0.3, 1.0);
  auto heat = noise({3, 16, 8}).requires_grad_();
  const auto weights =
      weighting_map(heat, torch::tensor({-1.F, 0.F, 1.F}), {4, 4}, {.strength = strength});
  CHECK(weights.sizes() == at::IntArrayRef({3, 4, 4}));
  CHECK(torch::allclose(weights.mean({1, 2}), torch::ones({3})));
  CHECK_FALSE(weights.requires_grad());
  CHECK((weights > 0).all().item<bool>());
}

TEST_CASE("weighting_map at strength 0 is exactly the map of ones", "[reward][weighting]") {
  const auto weights =
      weighting_map(noise({2, 8, 8}), torch::tensor({-1.F, 1.F}), {8, 8}, {.strength = 0});
  CHECK(torch::equal(weights, torch::ones({2, 8, 8})));
}

TEST_CASE("weighting_map weighs bad places of bad pictures and good places of good ones",
          "[reward][weighting]") {
  // The left half is implausible.
  auto heat = torch::zeros({2, 4, 4});
  heat.slice(2, 0, 2).fill_(1);
  const auto weights =
      weighting_map(heat, torch::tensor({-2.F, 2.F}), {2, 2}, {.strength = 1, .floor = 0.25});
  // By hand: emphasis is (1, .25) or (.25, 1), mean .625.
  CHECK(torch::allclose(weights[0], torch::tensor({{1.6F, 0.4F}, {1.6F, 0.4F}})));
  CHECK(torch::allclose(weights[1], torch::tensor({{0.4F, 1.6F}, {0.4F, 1.6F}})));
}

TEST_CASE("weighting_map takes heat below the threshold for none", "[reward][weighting]") {
  const auto heat = torch::full({1, 4, 4}, 0.2F).index_put_({0, 0, 0}, 0.9F);
  const auto with = [&](double threshold) {
    return weighting_map(heat, torch::tensor({-1.F}), {4, 4},
                         {.strength = 1, .threshold = threshold, .floor = 0.1});
  };
  CHECK(with(0.5)[0][0][0].item<float>() == Approx(0.9 / ((0.9 + 15 * 0.1) / 16)));
  CHECK(with(0)[0][0][0].item<float>() == Approx(0.9 / ((0.9 + 15 * 0.2) / 16)));
}

TEST_CASE("heat names the map that a judgement lacks", "[reward][weighting]") {
  rahf::Judgement judgement;
  judgement.implausibility = torch::full({1, 2, 2}, 0.5F);
  CHECK(torch::equal(heat(judgement, MapSource::kImplausibility), judgement.implausibility));
  CHECK_THROWS_MATCHES(heat(judgement, MapSource::kMaximum), rahf::ConfigError,
                       Says("no heatmap of misalignment"));
  judgement.misalignment = torch::full({1, 2, 2}, 0.7F);
  CHECK(heat(judgement, MapSource::kMaximum)[0][0][0].item<float>() == Approx(0.7F));
  CHECK(heat(judgement, MapSource::kMean)[0][0][0].item<float>() == Approx(0.6F));
}

TEST_CASE("heatmap_energy's gradient equals finite differences", "[reward][weighting]") {
  auto heat = noise({2, 3, 3}).to(torch::kDouble).requires_grad_();
  const auto gradient = torch::autograd::grad({heatmap_energy(heat).sum()}, {heat})[0];
  const double step = 1e-6;
  auto moved = heat.detach().clone();
  moved[1][2][0] += step;
  const auto difference =
      (heatmap_energy(moved).sum() - heatmap_energy(heat.detach()).sum()).item<double>() / step;
  CHECK(gradient[1][2][0].item<double>() == Approx(difference).epsilon(1e-5));
}

TEST_CASE("WeightingMapOptions refuse what is out of range", "[reward][weighting]") {
  CHECK_THROWS_MATCHES((WeightingMapOptions{.strength = 2}.validate()), rahf::ConfigError,
                       Says("WeightingMapOptions.strength = 2, must be in [0, 1]"));
  CHECK_THROWS_MATCHES((WeightingMapOptions{.floor = 0}.validate()), rahf::ConfigError,
                       Says("WeightingMapOptions.floor = 0, must be > 0"));
}
