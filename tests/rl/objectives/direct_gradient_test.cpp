#include "rahf/rl/objectives/direct_gradient.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <string>

#include "rahf/core/error.h"
#include "rahf/rl/loop/prompt_stream.h"
#include "rahf/rl/loop/scorer.h"
#include "support/catch.h"
#include "support/red_reward.h"
#include "support/toy_generator.h"

using rahf::rl::DirectGradient;
using rahf::rl::DirectGradientOptions;
using rahf::rl::GraphSteps;

namespace {

const rahf::Prompts kPrompts = {{"red"}, {"blue"}};

struct Place {
  ToyGenerator toy{false};
  RedReward reward;
  rahf::rl::Scorer scorer{reward, {.terms = {"red"}, .weights = {1}}};
  rahf::Randomness random{5};
  rahf::rl::PromptStream prompts{kPrompts, random};

  Place() { toy.start_from(torch::linspace(-0.5, 0.5, 18).view({3, 2, 3})); }
  rahf::rl::Stage stage() {
    return {.generator = toy, .scorer = scorer, .prompts = prompts, .random = random};
  }
};

DirectGradientOptions small() {
  return {.batch_size = 4, .micro_batch = 4, .steps = 3, .guidance_scale = 1, .graph_steps = 0};
}

double loss_of(Place& place, const DirectGradientOptions& options, const torch::Tensor& theta) {
  {
    const torch::NoGradGuard no_grad;
    place.toy.theta().copy_(theta);
  }
  DirectGradient objective(options, place.stage());
  objective.begin_round(0);
  double loss = 0;
  for (std::int64_t k = 0; k < objective.pieces(0); ++k) {
    loss += objective.piece(0, k).loss.item<double>();
  }
  return loss;
}

torch::Tensor gradient_of(Place& place, const DirectGradientOptions& options) {
  DirectGradient objective(options, place.stage());
  objective.begin_round(0);
  auto sum = torch::zeros({3, 2, 3});
  for (std::int64_t k = 0; k < objective.pieces(0); ++k) {
    sum += torch::autograd::grad({objective.piece(0, k).loss}, {place.toy.theta()})[0];
  }
  return sum;
}

}  // namespace

TEST_CASE("a direct gradient through all steps equals finite differences",
          "[rl][direct_gradient]") {
  Place place;
  auto options = small();
  const std::string of = GENERATE("the reward", "a hinge, disturbed", "the reference", "a focus");
  CAPTURE(of);
  if (of == "a hinge, disturbed") {
    options.loss = rahf::rl::RewardLoss::kHinge;
    options.target = 2;
    options.scale = 0.5;
    options.disturbance.shift = 1;
  } else if (of == "the reference") {
    options.reference = {.loss_weight = 0.7, .anchor_weight = 0.4, .pictures = 8};
  } else if (of == "a focus") {
    options.focus = {.weight = 2, .mask = {.threshold = 0.5, .dilation = 0}};
  }
  const torch::NoGradGuard no_grad;
  place.toy.theta().add_(0.2);  // away from the reference
  const auto start = place.toy.theta().clone();
  torch::Tensor gradient;
  {
    const torch::AutoGradMode with_grad(true);
    gradient = gradient_of(place, options);
  }
  for (const auto place_of : {0, 4, 7}) {
    auto step = torch::zeros({18});
    step[place_of] = 0.02F;
    step = step.view({3, 2, 3});
    const auto slope =
        (loss_of(place, options, start + step) - loss_of(place, options, start - step)) / 0.04;
    CHECK(gradient.flatten()[place_of].item<double>() == Approx(slope).epsilon(0.02).margin(2e-4));
  }
  CHECK(gradient.abs().max().item<float>() > 1e-3F);
}

TEST_CASE("a direct gradient through the last K steps leaves the others out",
          "[rl][direct_gradient]") {
  Place place;
  auto options = small();
  const auto full = gradient_of(place, options);
  options.graph_steps = 3;
  CHECK(torch::equal(gradient_of(place, options), full));
  options.graph_steps = 1;
  const auto last = gradient_of(place, options);
  CHECK((last.abs() < full.abs()).slice(0, 0, 2).all().item<bool>());
  CHECK(last.abs().max().item<float>() > 0);
}

TEST_CASE("ReFL judges the clean estimate of one step in its range", "[rl][direct_gradient]") {
  Place place;
  auto options = small();
  options.graph = GraphSteps::kOne;
  options.first_step = 1;
  options.last_step = 2;
  // d red / d theta = red (1 - red) at whatever step, for one network call.
  const auto gradient = gradient_of(place, options);
  CHECK((gradient.slice(0, 0, 2) < 0).all().item<bool>());
  CHECK(gradient.slice(0, 2).abs().max().item<float>() == 0);
}

TEST_CASE("DRaFT-LV averages the last step over several noises", "[rl][direct_gradient]") {
  Place place;
  auto options = small();
  options.graph_steps = 1;
  const auto one = gradient_of(place, options);
  options.noise_draws = 3;
  options.noise_level = 0.3;
  const auto several = gradient_of(place, options);
  CHECK_FALSE(torch::equal(one, several));
  CHECK((several.slice(0, 0, 2) < 0).all().item<bool>());
  CHECK(torch::allclose(one, several, 0.5, 0.05));
}

TEST_CASE("reward_loss is negative, a hinge or a distance", "[rl][direct_gradient]") {
  const auto rewards = torch::tensor({0.5F, 3.F});
  using rahf::rl::RewardLoss;
  CHECK(torch::equal(rahf::rl::reward_loss(rewards, RewardLoss::kNegative, 2), -rewards));
  CHECK(torch::equal(rahf::rl::reward_loss(rewards, RewardLoss::kHinge, 2),
                     torch::tensor({1.5F, 0.F})));
  CHECK(torch::equal(rahf::rl::reward_loss(rewards, RewardLoss::kDistance, 2),
                     torch::tensor({1.5F, 1.F})));
}

TEST_CASE("change_outside ignores what is marked", "[rl][direct_gradient]") {
  const auto before = torch::zeros({1, 3, 2, 2});
  auto after = before.clone();
  after.select(2, 0).fill_(0.5F);  // the upper row
  auto marks = torch::zeros({1, 2, 2}, torch::kBool);
  CHECK(rahf::rl::change_outside(after, before, marks).item<float>() ==
        Approx(std::sqrt(0.125)).epsilon(1e-4));
  marks.select(1, 0).fill_(true);
  CHECK(rahf::rl::change_outside(after, before, marks).item<float>() < 1e-5F);
}
