#include "rahf/generators/pretrain/ema_codebook.h"

#include <torch/types.h>

#include "rahf/core/error.h"
#include "rahf/core/random.h"
#include "support/catch.h"

using rahf::Randomness;
using rahf::generators::EmaCodebook;
using rahf::generators::EmaCodebookOptions;

namespace {

at::Generator draws(std::int64_t step) { return Randomness(1).generator("test", step); }

}  // namespace

TEST_CASE("EmaCodebook moves codes to the running means of their latents",
          "[generators][pretrain]") {
  auto codes = torch::tensor({{0.0F, 0.0F}, {4.0F, 4.0F}});
  EmaCodebook codebook(codes, {.decay = 0.5, .restart_below = 0, .lloyd_rounds = 0});
  // Two latents for code 0, one for code 1.
  const auto latents = torch::tensor({{1.0F, 0.0F}, {3.0F, 0.0F}, {5.0F, 5.0F}});
  const auto ids = torch::tensor({0, 0, 1}, torch::kLong);
  codebook.update(latents, ids, draws(0));
  // N = 0.5 {2, 1}, M = 0.5 {(4, 0), (5, 5)}
  CHECK(torch::allclose(codes, torch::tensor({{2.0F, 0.0F}, {5.0F, 5.0F}})));
  codebook.update(torch::tensor({{5.0F, 0.0F}}), torch::tensor({0}, torch::kLong), draws(1));
  // N_0 = 0.5 + 0.5, M_0 = (1, 0) + (2.5, 0); code 1 keeps its place, though fewer chose it.
  CHECK(torch::allclose(codes, torch::tensor({{3.5F, 0.0F}, {5.0F, 5.0F}})));
}

TEST_CASE("EmaCodebook starts with few codes in a background that most latents share",
          "[generators][pretrain]") {
  auto latents = torch::zeros({2000, 3});
  const auto rare = torch::randn({100, 3}, draws(0)) + 5;
  latents.slice(0, 1900) = rare;
  auto codes = torch::zeros({20, 3});
  EmaCodebook codebook(codes, {});
  CHECK_FALSE(codebook.started());
  codebook.start(latents, 4, draws(1));
  CHECK(codebook.started());
  CHECK((codes.abs().amax(1) < 1e-4).sum().item<std::int64_t>() == 1);
  // Every rare latent is nearer to its code than to the background.
  CHECK(torch::cdist(rare, codes).amin(1).max().item<float>() < 4);
}

TEST_CASE("EmaCodebook moves idle codes to latents that fit badly", "[generators][pretrain]") {
  auto codes = torch::tensor({{0.0F}, {100.0F}});
  EmaCodebook codebook(codes, {.decay = 0, .restart_below = 0.5});
  const auto latents = torch::tensor({{0.0F}, {0.0F}, {7.0F}});
  codebook.update(latents, torch::tensor({0, 0, 0}, torch::kLong), draws(0));
  CHECK(codes[1].item<float>() <= 7);
}

TEST_CASE("EmaCodebook goes on from its state as if it had not stopped", "[generators][pretrain]") {
  auto codes = torch::randn({4, 2}, draws(0)), others = torch::zeros({4, 2});
  EmaCodebook codebook(codes, {}), resumed(others, {});
  const auto latents = torch::randn({50, 2}, draws(1));
  codebook.start(latents, 1, draws(2));
  resumed.load_state(codebook.state());
  CHECK(resumed.started());
  const auto ids = torch::cdist(latents, codes).argmin(1);
  codebook.update(latents, ids, draws(3));
  resumed.update(latents, ids, draws(3));
  CHECK(torch::equal(codes, others));
}

TEST_CASE("EmaCodebook refuses fewer latents than codes and bad options",
          "[generators][pretrain]") {
  auto codes = torch::zeros({4, 2});
  EmaCodebook codebook(codes, {});
  CHECK_THROWS_MATCHES(codebook.start(torch::zeros({3, 2}), 1, draws(0)), rahf::ShapeError,
                       Says("latents must be [N, 2] with N >= 4, got [3, 2]"));
  CHECK_THROWS_MATCHES(EmaCodebook(codes, {.decay = 1}), rahf::ConfigError,
                       Says("decay must be in [0, 1), got 1"));
}
