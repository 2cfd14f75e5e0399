#include "rahf/rl/objectives/preference.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <cmath>

#include "rahf/rl/objectives/diffusion_nft.h"
#include "support/catch.h"

TEST_CASE("best_and_worst pairs each prompt's extremes", "[rl][preference]") {
  const rahf::Prompts prompts = {{"a"}, {"b"}, {"a"}, {"c"}, {"a"}, {"b"}, {"c"}};
  const auto pairs =
      rahf::rl::best_and_worst(torch::tensor({0.2F, 0.5F, 0.9F, 0.4F, 0.1F, 0.6F, 0.4F}), prompts);
  CHECK(torch::equal(pairs.better, torch::tensor({2, 5}, torch::kLong)));
  CHECK(torch::equal(pairs.worse, torch::tensor({4, 1}, torch::kLong)));
}

TEST_CASE("d3po_loss is that of its formula and stops at the clamp", "[rl][preference]") {
  auto better = torch::tensor({{0.05F, 0.3F}}).requires_grad_();
  const auto worse = torch::tensor({{-0.02F, 0.F}});
  const auto loss = rahf::rl::d3po_loss(better, worse, 2, 0.1);
  CHECK(loss[0][0].item<double>() == Approx(std::log1p(std::exp(-2 * 0.07))).epsilon(1e-5));
  CHECK(loss[0][1].item<double>() == Approx(std::log1p(std::exp(-2 * std::log(1.1)))));
  const auto gradient = torch::autograd::grad({loss.sum()}, {better})[0];
  CHECK(gradient[0][0].item<double>() == Approx(-2 / (1 + std::exp(0.14))).epsilon(1e-5));
  CHECK(gradient[0][1].item<float>() == 0);
  CHECK(rahf::rl::d3po_loss(worse, worse, 2, 0.1)[0][0].item<double>() == Approx(std::log(2.)));
}

TEST_CASE("diffusion_dpo_loss is averaged after the sigmoid", "[rl][preference]") {
  auto better = torch::tensor({0.4F, 0.8F}).requires_grad_();
  const auto worse = torch::tensor({0.6F, 0.5F});
  const auto reference = torch::tensor({0.5F, 0.5F});
  const auto loss = rahf::rl::diffusion_dpo_loss(better, worse, reference, reference, 10);
  CHECK(loss[0].item<double>() == Approx(std::log1p(std::exp(-1.))).epsilon(1e-5));
  CHECK(loss[1].item<double>() == Approx(std::log1p(std::exp(1.5))).epsilon(1e-5));
  const auto gradient = torch::autograd::grad({loss.sum()}, {better})[0];
  CHECK(gradient[0].item<double>() == Approx(5 / (1 + std::exp(1.))).epsilon(1e-5));
}

TEST_CASE("DiffusionNFT's mixtures are mirror images about the old prediction",
          "[rl][preference]") {
  const auto trained = torch::tensor({1.F, 2.F}), old = torch::tensor({0.5F, 4.F});
  const auto mixed = rahf::rl::nft_mixtures(trained, old, 0.5);
  CHECK(torch::allclose(mixed.towards, torch::tensor({0.75F, 3.F})));
  CHECK(torch::allclose(mixed.away, torch::tensor({0.25F, 5.F})));
  CHECK(torch::equal(rahf::rl::nft_mixtures(trained, old, 1).towards, trained));
  CHECK(torch::allclose(rahf::rl::nft_optimality(torch::tensor({-5.F, 0.F, 2.5F, 9.F}), 5),
                        torch::tensor({0.F, 0.5F, 0.75F, 1.F})));
}

TEST_CASE("DiffusionNFT's old policy lags more and more, up to its limit", "[rl][preference]") {
  rahf::rl::DiffusionNftOptions options;
  CHECK(options.old_decay(0) == Approx(0.001));
  CHECK(options.old_decay(99) == Approx(0.1));
  CHECK(options.old_decay(9999) == 0.5);
  options = {.old_flat_rounds = 75, .old_slope = 0.0075, .old_limit = 0.999};
  CHECK(options.old_decay(50) == 0);
  CHECK(options.old_decay(84) == Approx(0.075));
}
