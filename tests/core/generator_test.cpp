#include "rahf/core/generator.h"

#include <torch/autograd.h>

#include <string>

#include "rahf/core/check_generator.h"
#include "rahf/core/error.h"
#include "support/catch.h"
#include "support/toy_generator.h"

using rahf::Draws;
using rahf::Randomness;

namespace {

const rahf::Prompts kPrompts = {{"red"}, {"blue"}, {"red"}, {"green"}, {"red"}, {"a"}, {"b"}};

ToyGenerator toy(bool discrete) {
  ToyGenerator generator(discrete);
  generator.start_from(torch::linspace(-1, 1, 18).view({3, 2, 3}));
  return generator;
}

rahf::SampleOptions trained_sampling() {
  return {.num_steps = 4, .guidance_scale = 1.5, .stochasticity = 1, .keep_trajectory = true};
}

torch::Tensor all_steps(std::int64_t batch, std::int64_t steps) {
  return torch::arange(steps).unsqueeze(0).repeat({batch, 1});
}

}  // namespace

TEST_CASE("a generator's step terms give the sampled log-probability exactly before an update",
          "[core][generator]") {
  const bool discrete = GENERATE(true, false);
  const std::size_t batch = GENERATE(1U, 7U);
  auto generator = toy(discrete);
  const auto rollout = generator.sample({kPrompts.begin(), kPrompts.begin() + batch},
                                        trained_sampling(), {.random = Randomness(1)});
  const auto steps = all_steps(static_cast<std::int64_t>(batch), 4);
  const auto terms = generator.step_terms(rollout, steps, {.kl = true});
  CHECK(torch::equal((terms.log_prob - rollout.log_prob).exp(),
                     torch::ones({steps.size(0), 4, 2, 3})));
  CHECK(torch::equal(terms.decided, rollout.decided));
  CHECK(terms.kl.abs().max().item<float>() == 0);
  CHECK(terms.log_prob.requires_grad());

  const torch::NoGradGuard no_grad;
  generator.theta().add_(0.5);
  const auto moved = generator.step_terms(rollout, steps, {.kl = true});
  CHECK((moved.log_prob - rollout.log_prob).abs().max().item<float>() > 0.01F);
  CHECK(moved.kl.max().item<float>() > 0.001F);
}

TEST_CASE("select() and step_terms() may be taken in either order", "[core][generator]") {
  auto generator = toy(GENERATE(true, false));
  const auto rollout = generator.sample(kPrompts, trained_sampling(), {.random = Randomness(2)});
  const auto rows = torch::tensor({5, 0, 0, 3}, torch::kLong);
  const auto steps =
      torch::tensor({{3, 0}, {1, 2}, {0, 1}, {2, 3}, {1, 1}, {0, 3}, {2, 0}}, torch::kLong);
  const auto whole = generator.step_terms(rollout, steps, {.kl = true});
  const auto part =
      generator.step_terms(select(rollout, rows), steps.index_select(0, rows), {.kl = true});
  CHECK(torch::equal(whole.log_prob.index_select(0, rows), part.log_prob));
  CHECK(torch::equal(whole.kl.index_select(0, rows), part.kl));
  CHECK(torch::equal(whole.decided.index_select(0, rows), part.decided));
  CHECK_THROWS_MATCHES(select(rollout, torch::tensor({7}, torch::kLong)), rahf::ShapeError,
                       Says("rows must be in [0, 7), got 7"));
}

TEST_CASE("what a generator draws does not depend on how a batch is split", "[core][generator]") {
  auto generator = toy(GENERATE(true, false));
  const auto options = trained_sampling();
  const auto whole = generator.sample(kPrompts, options, {.random = Randomness(3), .first = 20});
  const auto rest = generator.sample({kPrompts.begin() + 3, kPrompts.end()}, options,
                                     {.random = Randomness(3), .first = 23});
  CHECK(torch::equal(whole.states.slice(0, 3), rest.states));
  CHECK(torch::allclose(whole.images.slice(0, 3), rest.images, 0, 1e-6));
  CHECK_FALSE(torch::equal(whole.states[0], whole.states[2]));
}

TEST_CASE("ancestors of a steering hook re-index all that a sampler keeps", "[core][generator]") {
  auto generator = toy(GENERATE(true, false));
  const rahf::Prompts prompts(3, {"red"});
  auto options = trained_sampling();
  const auto plain = generator.sample(prompts, options, {.random = Randomness(4)});
  std::vector<std::int64_t> seen;
  options.steering = [&](const rahf::SteeringPoint& point) -> rahf::Steered {
    seen.push_back(point.step);
    const auto estimate = point.clean_images(point.state);
    CHECK(estimate.sizes() == torch::IntArrayRef{3, 3, 4, 6});
    if (point.step != 2) return {};
    return {.state = {}, .ancestors = torch::tensor({2, 2, 0}, torch::kLong)};
  };
  const auto steered = generator.sample(prompts, options, {.random = Randomness(4)});
  CHECK(seen == std::vector<std::int64_t>{1, 2, 3});
  const auto ancestors = torch::tensor({2, 2, 0}, torch::kLong);
  const auto before = plain.states.index_select(0, ancestors).slice(1, 0, 3);
  CHECK(torch::equal(steered.states.slice(1, 0, 3), before));
  CHECK(torch::equal(steered.log_prob.slice(1, 0, 2),
                     plain.log_prob.index_select(0, ancestors).slice(1, 0, 2)));
  CHECK(torch::equal(steered.decided.slice(1, 0, 2),
                     plain.decided.index_select(0, ancestors).slice(1, 0, 2)));
  const auto again = generator.step_terms(steered, all_steps(3, 4), {});
  CHECK(torch::equal(again.log_prob, steered.log_prob));
}

TEST_CASE("a generator answers with the policy it is asked for", "[core][generator]") {
  auto generator = toy(false);
  const auto corrupted = generator.corrupt(torch::zeros({2, 1, 2, 3}), torch::tensor({0.5F, 0.9F}),
                                           {.random = Randomness(5)});
  const auto answer = [&](rahf::Policy policy) {
    return generator.predict(corrupted, {{"red"}, {"blue"}}, policy, 1);
  };
  const auto before = answer(rahf::Policy::kReference);
  {
    const torch::NoGradGuard no_grad;
    generator.theta().add_(1);
  }
  CHECK(torch::equal(answer(rahf::Policy::kReference), before));
  CHECK(torch::equal(answer(rahf::Policy::kOld), before));
  CHECK(torch::allclose(answer(rahf::Policy::kTrained), before + 1));
  generator.update_old(0.75);
  CHECK(torch::allclose(answer(rahf::Policy::kOld), before + 0.25));
  CHECK(answer(rahf::Policy::kTrained).requires_grad());
  CHECK_FALSE(answer(rahf::Policy::kOld).requires_grad());
}

TEST_CASE("sample_through keeps a graph at the chosen steps alone", "[core][generator]") {
  auto generator = toy(false);
  const auto gradient = [&](std::vector<std::int64_t> steps, bool detach) {
    const auto images = generator.sample_through(
        {{"red"}},
        {.sampling = {.num_steps = 2}, .graph_steps = std::move(steps), .detach_state = detach},
        {.random = Randomness(6)});
    const auto latents = torch::logit(images.select(1, 0));
    return torch::autograd::grad({latents.sum() / 4}, {generator.theta()})[0][0][0][0]
        .item<double>();
  };
  // x1 = x0 + (c(x0) - x0) / 2 and x2 = c(x1) = theta + x1 / 2, with d x1 / d theta = 1 / 2.
  CHECK(gradient({0, 1}, true) == Approx(1.25).epsilon(1e-4));
  CHECK(gradient({1}, true) == Approx(1).epsilon(1e-4));
  CHECK(gradient({1}, false) == Approx(1).epsilon(1e-4));
}

TEST_CASE("a generator refuses what it does not offer", "[core][generator]") {
  auto generator = toy(true);
  CHECK_THROWS_MATCHES(generator.sample_through({{"red"}}, {}, {.random = Randomness(1)}),
                       rahf::ConfigError, Says("offers no pictures with a gradient path"));
}

TEST_CASE("CheckGenerator passes on what two generators agree on", "[core][generator]") {
  const bool discrete = GENERATE(true, false);
  auto first = toy(discrete), second = toy(discrete);
  rahf::CheckGenerator both(first, second);
  const Draws draws{.random = Randomness(7)};
  const auto rollout = both.sample(kPrompts, trained_sampling(), draws);
  CHECK(torch::equal(rollout.images, first.sample(kPrompts, trained_sampling(), draws).images));
  both.step_terms(rollout, all_steps(7, 4), {.kl = true});
  const auto latents = both.encode(rollout.images);
  const auto corrupted = both.corrupt(latents, torch::full({7}, 0.5F), draws);
  both.error(both.predict(corrupted, kPrompts, rahf::Policy::kTrained, 1), corrupted);

  second.start_from(second.theta() + 0.01);
  CHECK_THROWS_MATCHES(both.predict(corrupted, kPrompts, rahf::Policy::kTrained, 1), rahf::Error,
                       Says("must agree on predict(), got a difference of 0.01"));
  CHECK_THROWS_MATCHES(both.step_terms(rollout, all_steps(7, 4), {}), rahf::Error,
                       Says("must agree on step_terms().log_prob"));
  ToyGenerator other(!discrete);
  CHECK_THROWS_MATCHES(rahf::CheckGenerator(first, other), rahf::ConfigError,
                       Says("the same grid, states and size"));
}
