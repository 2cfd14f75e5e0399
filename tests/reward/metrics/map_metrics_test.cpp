#include "rahf/reward/metrics/map_metrics.h"

#include <cmath>
#include <filesystem>
#include <limits>

#include "rahf/core/io/safetensors.h"
#include "rahf/core/random.h"
#include "rahf/core/shapes.h"
#include "support/catch.h"
#include "support/paths.h"

using rahf::reward::kMapMetricFields;
using rahf::reward::map_metrics;
using rahf::reward::MapMetrics;

namespace {

MapMetrics one(const torch::Tensor& p, const torch::Tensor& g) {
  return map_metrics(p.unsqueeze(0), g.unsqueeze(0)).at(0);
}

torch::Tensor map2x2(std::initializer_list<double> values) {
  return torch::tensor(std::vector<double>(values), torch::kDouble).view({2, 2});
}

torch::Tensor random_maps(std::uint64_t seed, std::vector<std::int64_t> shape) {
  return torch::rand(shape, rahf::Randomness(seed).generator("maps", 0), torch::kDouble);
}

}  // namespace

TEST_CASE("map_metrics equals values worked by hand", "[reward][map_metrics]") {
  const auto m = one(map2x2({.4, .3, .2, .1}), map2x2({1, 0, 1, 0}));
  CHECK(m.mse == Approx((.36 + .09 + .64 + .01) / 4));
  CHECK(std::isnan(m.mse_empty));
  CHECK(m.sim == Approx(.4 + .2));
  // Deviations .15 .05 -.05 -.15: at fixations .05 on average, variance .05 / 4 or .05 / 3.
  CHECK(m.nss == Approx(.05 / std::sqrt(.05 / 4)));
  CHECK(m.nss_unbiased == Approx(.05 / std::sqrt(.05 / 3)));
  CHECK(m.cc == Approx((.15 - .05 - .05 + .15) / 2 / std::sqrt(.05)));
  CHECK(m.kld_mit == Approx(.5 * std::log(.5 / .4) + .5 * std::log(.5 / .2)));
  CHECK(m.kld == Approx(m.kld_mit).epsilon(1e-6));
  // .4 beats .3 and .1, .2 beats .1 only.
  CHECK(m.auc_judd == Approx(.75));
  // Points (0, 0), (1/2, 1/2), (1, 1): c = 1, 3 pixels at or above .4, .2.
  CHECK(m.auc_judd_thresholds == Approx(.5));
}

TEST_CASE("auc_judd counts ties half and is a half for a constant prediction",
          "[reward][map_metrics]") {
  CHECK(one(map2x2({.5, .5, .5, 0}), map2x2({1, 0, 0, 0})).auc_judd == Approx((.5 + .5 + 1) / 3));

  const auto constant = one(torch::full({3, 3}, 1.0 / 3), torch::eye(3));
  CHECK(constant.auc_judd == .5);
  CHECK(constant.cc == 0);
  CHECK(constant.nss == 0);
  CHECK(constant.sim == Approx(1.0 / 3));
}

TEST_CASE("An empty annotated map has an MSE of its own and nothing else",
          "[reward][map_metrics]") {
  const auto m = one(torch::full({4, 4}, .1, torch::kDouble), torch::zeros({4, 4}));
  CHECK(m.mse == Approx(.01));
  CHECK(m.mse_empty == m.mse);
  for (const auto& field : kMapMetricFields) {
    if (field.name != "mse" && field.name != "mse_empty") CHECK(std::isnan(m.*field.value));
  }
}

TEST_CASE("Maps without contrast give NaN only where nothing is defined", "[reward][map_metrics]") {
  SECTION("everything is annotated") {
    const auto m = one(random_maps(1, {4, 4}), torch::full({4, 4}, .6));
    CHECK(std::isnan(m.auc_judd));
    CHECK(std::isnan(m.auc_judd_thresholds));
    CHECK(std::isnan(m.cc));
    CHECK(m.nss == Approx(0).margin(1e-12));
    CHECK(m.sim > 0);
  }
  SECTION("the prediction is all zero, which counts as uniform") {
    const auto m = one(torch::zeros({2, 2}), map2x2({1, 0, 0, 0}));
    CHECK(m.sim == Approx(.25));
    CHECK(m.kld == Approx(std::log(4)).epsilon(1e-6));
  }
}

TEST_CASE("map_metrics ignores what its metrics are invariant to", "[reward][map_metrics]") {
  const auto seed = GENERATE(1, 2, 3);
  const auto p = random_maps(seed, {12, 9}), g = (random_maps(seed + 10, {12, 9}) - .7).relu();
  const auto plain = one(p, g);

  SECTION("an increasing transform leaves auc_judd") {
    CHECK(one(p.exp().square(), g).auc_judd == plain.auc_judd);
  }
  SECTION("an affine transform leaves cc and nss, scaling leaves sim and kld") {
    const auto affine = one(3 * p + .5, g), scaled = one(p * 7, g * .2);
    CHECK(affine.cc == Approx(plain.cc).epsilon(1e-9));
    CHECK(affine.nss == Approx(plain.nss).epsilon(1e-9));
    CHECK(scaled.sim == Approx(plain.sim).epsilon(1e-9));
    CHECK(scaled.kld_mit == Approx(plain.kld_mit).epsilon(1e-9));
  }
  SECTION("turning both maps leaves everything but the jitter's ties") {
    const auto turned = one(p.t(), g.t());
    for (const auto& field : kMapMetricFields) {
      if (field.name == "mse_empty") continue;
      CHECK(turned.*field.value == Approx(plain.*field.value).epsilon(1e-9));
    }
  }
  SECTION("the batch around a picture does not matter") {
    const auto batch = map_metrics(torch::stack({g, p, g}), torch::stack({p, g, g}));
    CHECK(batch.at(1).auc_judd == plain.auc_judd);
    CHECK(batch.at(1).kld == plain.kld);
    CHECK(batch.at(2).cc == Approx(1));
    CHECK(batch.at(2).auc_judd == 1);
  }
}

TEST_CASE("map_metrics equals pysaliency and the first author's definitions",
          "[reward][map_metrics][parity]") {
  const auto fixture =
      rahf::io::read_safetensors(rahf::test::fixtures() / "metrics" / "maps.safetensors");
  const auto all = map_metrics(fixture.tensors.at("predicted"), fixture.tensors.at("annotated"));
  REQUIRE(all.size() == 7);
  for (const auto& field : kMapMetricFields) {
    if (field.name == "mse_empty") continue;
    const auto expected = fixture.tensors.at(std::string(field.name));
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto want = expected[static_cast<std::int64_t>(i)].item<double>();
      if (std::isnan(want)) continue;  // Depends on the jitter's draw.
      INFO(field.name << " of map " << i);
      CHECK(std::abs(all[i].*field.value - want) < 1e-9);
    }
  }
}

TEST_CASE("map_metrics rejects maps that do not fit", "[reward][map_metrics][errors]") {
  REQUIRE_THROWS_MATCHES(map_metrics(torch::zeros({1, 2, 3}), torch::zeros({1, 3, 2})),
                         rahf::ShapeError, Says("annotated must be [B, H, W], got [1, 3, 2]"));
}
