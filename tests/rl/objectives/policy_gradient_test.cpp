#include "rahf/rl/objectives/policy_gradient.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <set>
#include <string>

#include "rahf/core/error.h"
#include "support/catch.h"
#include "support/red_reward.h"
#include "support/toy_generator.h"

using rahf::rl::PolicyGradient;
using rahf::rl::PolicyGradientOptions;
using rahf::rl::PromptStream;

namespace {

struct Place {
  explicit Place(bool discrete) : toy(discrete) {
    toy.start_from(torch::linspace(-0.5, 0.5, 18).view({3, 2, 3}));
  }
  ToyGenerator toy;
  RedReward reward;
  rahf::rl::Scorer scorer{reward, {.terms = {"red", "pale"}, .weights = {1, 0.5}}};
  rahf::Randomness random{9};
  PromptStream prompts{{{"red"}, {"blue"}}, random};
  rahf::rl::Stage stage() {
    return {.generator = toy, .scorer = scorer, .prompts = prompts, .random = random};
  }
};

PolicyGradientOptions small() {
  return {.rollout = {.prompts = 2, .pictures = 5, .batch_size = 4, .steps = 4},
          .micro_batch = 3,
          .loss = {.kl_weight = 0.1}};
}

double measure(const rahf::rl::Measures& measures, const std::string& name) {
  for (const auto& [own, value] : measures) {
    if (own == name) return value.item<double>();
  }
  FAIL("no measure " << name);
  return 0;
}

}  // namespace

TEST_CASE("a policy gradient's ratios are exactly 1 before the first update",
          "[rl][policy_gradient]") {
  Place place(GENERATE(true, false));
  PolicyGradient objective(small(), place.stage());
  objective.begin_round(0);
  REQUIRE(objective.updates() == 2);
  for (std::int64_t update = 0; update < 2; ++update) {
    for (std::int64_t k = 0; k < objective.pieces(update); ++k) {
      const auto piece = objective.piece(update, k);
      CHECK(measure(piece.measures, "policy/ratio") == 1);
      CHECK(measure(piece.measures, "policy/clip_fraction") == 0);
      CHECK(measure(piece.measures, "policy/kl") == 0);
    }
  }
}

TEST_CASE("a policy gradient trained without guidance has ratios of 1 against that policy",
          "[rl][policy_gradient]") {
  Place place(true);
  auto options = small();
  options.rollout.guidance_scale = 3;
  options.train_guidance = 1;
  PolicyGradient objective(options, place.stage());
  objective.begin_round(0);
  CHECK(measure(objective.piece(0, 0).measures, "policy/ratio") == 1);
}

TEST_CASE("a policy gradient's step makes what was rewarded more likely", "[rl][policy_gradient]") {
  Place place(true);
  auto options = small();
  options.rollout.pictures = 100;
  options.rollout.batch_size = options.micro_batch = 200;
  PolicyGradient objective(options, place.stage());
  objective.begin_round(0);
  auto gradient = torch::zeros({3, 2, 3});
  for (std::int64_t update = 0; update < 2; ++update) {
    for (std::int64_t k = 0; k < objective.pieces(update); ++k) {
      gradient += torch::autograd::grad({objective.piece(update, k).loss}, {place.toy.theta()})[0];
    }
  }
  {
    const torch::NoGradGuard no_grad;
    place.toy.theta().sub_(20 * gradient);
  }
  const auto images =
      place.toy
          .sample(rahf::Prompts(400, {"red"}), {.num_steps = 4}, {.random = rahf::Randomness(1)})
          .images;
  Place before(true);
  const auto old =
      before.toy
          .sample(rahf::Prompts(400, {"red"}), {.num_steps = 4}, {.random = rahf::Randomness(1)})
          .images;
  CHECK(images.select(1, 0).mean().item<double>() > old.select(1, 0).mean().item<double>() + 0.01);
}

TEST_CASE("a window of steps moves on over the rounds", "[rl][policy_gradient]") {
  Place place(false);
  auto options = small();
  options.rollout.steps = 4;
  options.train_steps = 2;
  options.step_choice = rahf::rl::StepChoice::kWindow;
  options.window_rounds = 1;
  options.loss.kl_weight = 0;
  PolicyGradient objective(options, place.stage());
  for (std::int64_t round = 0; round < 2; ++round) {
    objective.begin_round(round);
    CHECK(objective.piece(0, 0).loss.defined());
  }
  options.train_steps = 5;
  CHECK_THROWS_MATCHES(options.validate(), rahf::ConfigError,
                       Says("train_steps = 5, must be in [0, rollout.steps]"));
}

TEST_CASE("step weights even out the slopes of the steps, and are state", "[rl][policy_gradient]") {
  Place place(false);
  auto options = small();
  options.step_weights = rahf::rl::StepWeights::kSlope;
  PolicyGradient objective(options, place.stage());
  objective.begin_round(0);
  const auto weights = objective.state().at("step_weights");
  CHECK(weights.mean().item<float>() == Approx(1));
  // The slope of a step of the toy is 1 / (T - t): the last counts four times the first.
  CHECK(weights[0].item<float>() > weights[3].item<float>());
  PolicyGradient other(options, place.stage());
  other.load_state(objective.state());
  CHECK(torch::equal(other.state().at("step_weights"), weights));
}

TEST_CASE("a value baseline learns what a prompt and a state are worth", "[rl][policy_gradient]") {
  Place place(false);
  rahf::rl::ValueBaseline value({.on = true, .memory = 60, .ridge = 1e-4});
  rahf::Prompts prompts;
  for (int i = 0; i < 40; ++i) prompts.push_back({i % 2 == 0 ? "red" : "blue"});
  const auto rollout =
      place.toy.sample(prompts, {.num_steps = 2, .stochasticity = 1, .keep_trajectory = true},
                       {.random = rahf::Randomness(3)});
  const auto rewards = torch::arange(40).remainder(2).to(torch::kFloat);
  const auto steps = torch::arange(2).unsqueeze(0).repeat({40, 1});
  CHECK(value.predict(rollout, steps).abs().max().item<float>() == 0);
  value.fit(rollout, rewards);
  const auto found = value.predict(rollout, steps);
  CHECK((found - rewards.unsqueeze(1)).abs().max().item<float>() < 0.05F);

  rahf::rl::ValueBaseline loaded({.on = true, .memory = 60, .ridge = 1e-4});
  loaded.load_state(value.state());
  CHECK(torch::equal(loaded.predict(rollout, steps), found));
  value.fit(rollout, 1 - rewards);
  CHECK(value.state().at("rewards").numel() == 60);
}

TEST_CASE("PromptStream gives every prompt once before any twice, from any place on",
          "[rl][prompt_stream]") {
  rahf::Prompts prompts;
  for (int i = 0; i < 7; ++i) prompts.push_back({std::to_string(i)});
  const PromptStream stream(prompts, rahf::Randomness(2));
  std::set<std::string> seen;
  for (const auto& prompt : stream.take(7, 7)) seen.insert(prompt.text);
  CHECK(seen.size() == 7);
  const auto whole = stream.take(0, 30), rest = stream.take(11, 19);
  for (std::size_t i = 0; i < rest.size(); ++i) CHECK(whole[11 + i].text == rest[i].text);
  CHECK_FALSE(std::equal(whole.begin(), whole.begin() + 7, whole.begin() + 7,
                         [](const auto& a, const auto& b) { return a.text == b.text; }));
  CHECK_THROWS_MATCHES(PromptStream({{"a"}, {" "}}, rahf::Randomness(2)), rahf::ConfigError,
                       Says("every prompt must have text, number 2 has none"));
}
