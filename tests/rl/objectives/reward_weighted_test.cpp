#include "rahf/rl/objectives/reward_weighted.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <cmath>

#include "rahf/core/error.h"
#include "rahf/rl/objectives/levels.h"
#include "support/catch.h"
#include "support/toy_generator.h"

using rahf::rl::Choosing;
using rahf::rl::example_weights;

namespace {

const rahf::Prompts kPrompts = {{"a"}, {"a"}, {"a"}, {"b"}, {"b"}, {"b"}};
const auto kRewards = torch::tensor({0.1F, 0.5F, 0.3F, 0.9F, 0.2F, 0.9F});

}  // namespace

TEST_CASE("example weights of RWR are N softmax of the reward", "[rl][reward_weighted]") {
  const auto all =
      example_weights(kRewards, kPrompts, {.kind = Choosing::kSoftmax, .inverse_temperature = 2});
  CHECK(torch::allclose(all, 6 * torch::softmax(2 * kRewards, 0)));
  const auto own = example_weights(kRewards, kPrompts,
                                   {.kind = Choosing::kPromptSoftmax, .inverse_temperature = 2});
  CHECK(torch::allclose(own.slice(0, 0, 3), 3 * torch::softmax(2 * kRewards.slice(0, 0, 3), 0)));
  const auto equal =
      example_weights(torch::full({6}, 0.7F), kPrompts, {.kind = Choosing::kSoftmax});
  CHECK(torch::equal(equal, torch::ones({6})));
}

TEST_CASE("example weights keep the best of each prompt above a threshold",
          "[rl][reward_weighted]") {
  CHECK(torch::equal(example_weights(kRewards, kPrompts, {}),
                     torch::tensor({0.F, 1.F, 0.F, 1.F, 0.F, 0.F})));
  CHECK(torch::equal(example_weights(kRewards, kPrompts, {.keep = 2, .threshold = 0.4}),
                     torch::tensor({0.F, 1.F, 0.F, 1.F, 0.F, 1.F})));
  CHECK(torch::equal(
      example_weights(kRewards, kPrompts, {.kind = Choosing::kTopShare, .top_share = 0.5}),
      torch::tensor({0.F, 1.F, 0.F, 1.F, 0.F, 1.F})));
  CHECK_THROWS_MATCHES(example_weights(kRewards, kPrompts, {.keep = 0}), rahf::ConfigError,
                       Says("ChoosingOptions.keep = 0, must be > 0"));
}

TEST_CASE("a reward-weighted gradient is that of the weighted training loss",
          "[rl][reward_weighted]") {
  // Tokens: -log sigmoid(+-theta) where masked; its slope is sigmoid(theta) - arm.
  ToyGenerator toy(true, {.height = 1, .width = 2});
  toy.start_from(torch::tensor({{0.4F, -0.2F}, {0.F, 0.F}, {0.F, 0.F}}).view({3, 1, 2}));
  const auto ids = torch::tensor({{{1, 0}}, {{1, 1}}}, torch::kLong);
  const rahf::Corrupted corrupted{.clean = ids,
                                  .state = torch::tensor({{{2, 2}}, {{2, 1}}}, torch::kLong),
                                  .level = torch::tensor({1.F, 0.5F}),
                                  .target = ids};
  const auto prediction = toy.predict(corrupted, {{"red"}, {"red"}}, rahf::Policy::kTrained, 1);
  const auto error = rahf::rl::error_per_picture(toy.error(prediction, corrupted), corrupted);
  const auto weights = torch::tensor({2.F, 0.5F});
  const auto gradient = torch::autograd::grad({(weights * error).sum()}, {toy.theta()})[0][0][0];
  const double p0 = 1 / (1 + std::exp(-0.4)), p1 = 1 / (1 + std::exp(0.2));
  // The first picture has two masked tokens, the second one.
  CHECK(gradient[0].item<double>() == Approx(2 * (p0 - 1) / 2 + 0.5 * (p0 - 1)));
  CHECK(gradient[1].item<double>() == Approx(2 * p1 / 2));
}

TEST_CASE("noise levels follow their distribution and a sample's own draws",
          "[rl][reward_weighted]") {
  const rahf::Draws draws{.random = rahf::Randomness(4)};
  const auto kind = GENERATE(rahf::rl::LevelKind::kUniform, rahf::rl::LevelKind::kLogitNormal,
                             rahf::rl::LevelKind::kCosine);
  const auto levels = rahf::rl::noise_levels({.kind = kind}, 4000, draws, torch::kCPU);
  CHECK(levels.min().item<float>() > 0);
  CHECK(levels.max().item<float>() < 1);
  const double expected = kind == rahf::rl::LevelKind::kCosine ? 2 / M_PI : 0.5;
  CHECK(levels.mean().item<double>() == Approx(expected).margin(0.02));
  const auto rest = rahf::rl::noise_levels(
      {.kind = kind}, 10, {.random = rahf::Randomness(4), .first = 3990}, torch::kCPU);
  CHECK(torch::equal(levels.slice(0, 3990), rest));
}
