#include "rahf/generators/diffusion/latent_diffusion.h"

#include <torch/types.h>

#include <cmath>

#include "rahf/core/error.h"
#include "support/catch.h"
#include "toy_diffusion.h"

using namespace rahf;
using namespace rahf::generators;

namespace {

const Draws kDraws{.random = Randomness(5), .first = 20};

SchedulerOptions scheduler(Sampler sampler) {
  SchedulerOptions options{
      .sampler = sampler, .prediction = Prediction::kVelocity, .steps_offset = 1};
  if (sampler == Sampler::kFlow) options.prediction = Prediction::kFlow;
  return options;
}

SampleOptions stochastic(double guidance = 1) {
  return {.num_steps = 5, .guidance_scale = guidance, .stochasticity = 1, .keep_trajectory = true};
}

void train_a_little(LatentDiffusion& generator) {
  const torch::NoGradGuard no_grad;
  for (auto& one : generator.trainable()) one.value.mul_(1.25).add_(0.01);
}

torch::Tensor all_steps(std::int64_t batch, std::int64_t T) {
  return torch::arange(T).expand({batch, T});
}

}  // namespace

TEST_CASE("LatentDiffusion's probability ratio is exactly 1 before the first update",
          "[generators][diffusion]") {
  const auto batch = GENERATE(1, 7);
  const auto sampler = GENERATE(Sampler::kDdim, Sampler::kDdpm, Sampler::kFlow);
  const double guidance = GENERATE(1.0, 3.0, 0.0);
  auto generator = toy_diffusion(ToyNetwork(), scheduler(sampler));
  const auto rollout = generator.sample(toy_prompts(batch), stochastic(guidance), kDraws);
  REQUIRE(rollout.log_prob.sizes() == at::IntArrayRef({batch, 5, 3, 4}));
  REQUIRE(rollout.states.sizes() == at::IntArrayRef({batch, 6, 2, 3, 4}));
  const auto terms = generator.step_terms(rollout, all_steps(batch, 5), {.kl = true});
  CHECK(torch::equal((terms.log_prob - rollout.log_prob).exp(), torch::ones({batch, 5, 3, 4})));
  CHECK(torch::equal(terms.decided, rollout.decided));
  CHECK(torch::equal(terms.kl, torch::zeros({batch, 5, 3, 4})));
  CHECK(rollout.decided.select(1, 0).all().item<bool>());
}

TEST_CASE("LatentDiffusion recomputes each sample's own steps", "[generators][diffusion]") {
  auto generator = toy_diffusion(ToyNetwork(), scheduler(Sampler::kDdim));
  const auto rollout = generator.sample(toy_prompts(3), stochastic(2), kDraws);
  const auto steps = torch::tensor({{4, 0}, {2, 2}, {1, 3}}, torch::kLong);
  const auto terms = generator.step_terms(rollout, steps, {});
  const auto index = steps.view({3, 2, 1, 1}).expand({3, 2, 3, 4});
  CHECK(torch::equal(terms.log_prob, rollout.log_prob.gather(1, index)));
  CHECK_FALSE(terms.kl.defined());
  terms.log_prob.sum().backward();
  for (const auto& one : generator.trainable())
    CHECK(one.value.grad().abs().sum().item<float>() > 0);
}

TEST_CASE("Selecting samples of a rollout commutes with going over its steps",
          "[generators][diffusion]") {
  auto generator = toy_diffusion(ToyNetwork(), scheduler(Sampler::kDdim));
  const auto rollout = generator.sample(toy_prompts(5), stochastic(2), kDraws);
  train_a_little(generator);
  const auto rows = torch::tensor({3, 0, 3}, torch::kLong), steps = all_steps(5, 5);
  const auto before =
      generator.step_terms(select(rollout, rows), steps.index_select(0, rows), {.kl = true});
  const auto after = generator.step_terms(rollout, steps, {.kl = true});
  CHECK(torch::allclose(before.log_prob, after.log_prob.index_select(0, rows), 1e-4, 1e-5));
  CHECK(torch::allclose(before.kl, after.kl.index_select(0, rows), 1e-4, 1e-6));
}

TEST_CASE("LatentDiffusion's stochasticity 0 is DDIM without noise", "[generators][diffusion]") {
  ToyNetwork network;
  auto generator = toy_diffusion(network, {.steps_offset = 1});  // predicts noise
  const SampleOptions options{.num_steps = 4};
  const auto rollout = generator.sample(toy_prompts(2), options, kDraws);
  const torch::NoGradGuard no_grad;
  const auto alpha = alphas_cumprod({});
  auto x = kDraws.normal("diffusion/start", 0, {2, 2, 3, 4});
  torch::Tensor states;
  for (const std::int64_t t : {751, 501, 251, 1}) {
    const auto a = alpha[t], next = alpha[std::max<std::int64_t>(t - 250, 0)];
    Prompts prompts = toy_prompts(2);
    std::vector<torch::Tensor> text;
    for (const auto& prompt : prompts) {
      const auto key = static_cast<float>(std::hash<std::string>()(prompt.text) % 97);
      text.push_back(torch::cos(torch::arange(12) * (1 + key)).view({3, 4}));
    }
    const auto noise =
        network->forward(x, torch::full({2}, static_cast<float>(t)), torch::stack(text));
    x = next.sqrt() * (x - (1 - a).sqrt() * noise) / a.sqrt() + (1 - next).sqrt() * noise;
  }
  CHECK(torch::allclose(rollout.latents, x, 1e-4, 1e-5));
  // And the way does not use the draws of a stochastic one.
  auto other = options;
  other.start = kDraws.normal("diffusion/start", 0, {2, 2, 3, 4});
  const auto again = generator.sample(toy_prompts(2), other, {.random = Randomness(77)});
  CHECK(torch::equal(again.images, rollout.images));
  other.stochasticity = 0.5;
  CHECK_FALSE(torch::allclose(generator.sample(toy_prompts(2), other, kDraws).images,
                              rollout.images, 1e-3, 1e-3));
}

TEST_CASE("A picture of LatentDiffusion does not depend on its batch", "[generators][diffusion]") {
  const auto sampler = GENERATE(Sampler::kDdim, Sampler::kDpmSolver2M, Sampler::kEuler);
  auto generator = toy_diffusion(ToyNetwork(), scheduler(sampler));
  SampleOptions options{.num_steps = 6, .guidance_scale = 2, .negative_prompt = "blurred"};
  if (sampler == Sampler::kDdim) options.stochasticity = 1;
  const auto prompts = toy_prompts(4);
  const auto together = generator.sample(prompts, options, kDraws).images;
  REQUIRE(together.sizes() == at::IntArrayRef({4, 3, 6, 8}));
  for (std::int64_t i = 0; i < 4; ++i) {
    const auto alone = generator.sample({prompts[i]}, options,
                                        {.random = kDraws.random, .first = kDraws.first + i});
    CHECK(torch::allclose(alone.images[0], together[i], 1e-4, 1e-5));
  }
  CHECK_FALSE(torch::allclose(together[0], together[1], 1e-2, 1e-2));
}

TEST_CASE("LatentDiffusion answers as each policy", "[generators][diffusion]") {
  auto generator = toy_diffusion(ToyNetwork(), scheduler(Sampler::kDdim));
  generator.trainable();
  const auto prompts = toy_prompts(2);
  const auto rollout = generator.sample(prompts, stochastic(), kDraws);
  train_a_little(generator);
  auto options = stochastic();
  CHECK_FALSE(torch::allclose(generator.sample(prompts, options, kDraws).latents, rollout.latents));
  for (const auto policy : {Policy::kReference, Policy::kOld}) {
    options.policy = policy;
    CHECK(torch::equal(generator.sample(prompts, options, kDraws).latents, rollout.latents));
  }
  generator.update_old(0);
  CHECK_FALSE(torch::equal(generator.sample(prompts, options, kDraws).latents, rollout.latents));

  const auto terms = generator.step_terms(rollout, all_steps(2, 5), {.kl = true});
  CHECK(terms.kl.min().item<float>() > 0);
  CHECK_FALSE(torch::allclose(terms.log_prob, rollout.log_prob));
  // The trained step mean approaches the reference's as KL falls.
  terms.kl.mean().backward();
  {
    const torch::NoGradGuard no_grad;
    for (auto& one : generator.trainable()) one.value.sub_(1e-3 * one.value.grad().sign());
  }
  CHECK(generator.step_terms(rollout, all_steps(2, 5), {.kl = true}).kl.mean().item<float>() <
        terms.kl.mean().item<float>());
}

TEST_CASE("LatentDiffusion's guidance is taken into the training forward",
          "[generators][diffusion]") {
  auto generator = toy_diffusion(ToyNetwork(), scheduler(Sampler::kDdim));
  const auto rollout = generator.sample(toy_prompts(2), stochastic(3), kDraws);
  const auto as_sampled = generator.step_terms(rollout, all_steps(2, 5), {});
  const auto plain = generator.step_terms(rollout, all_steps(2, 5), {.guidance_scale = 1});
  CHECK(torch::equal(as_sampled.log_prob, rollout.log_prob));
  CHECK_FALSE(torch::allclose(plain.log_prob, rollout.log_prob));
}

TEST_CASE(
    "LatentDiffusion's steering sees clean pictures with a gradient and re-indexes what it "
    "keeps",
    "[generators][diffusion][steering]") {
  auto generator = toy_diffusion(ToyNetwork(), scheduler(Sampler::kDdim));
  auto options = stochastic();
  std::vector<double> levels;
  options.steering = [&](const SteeringPoint& point) -> Steered {
    levels.push_back(point.noise_level);
    CHECK(point.num_steps == 5);
    const auto state = point.state.detach().requires_grad_();
    const auto images = point.clean_images(state);
    CHECK(images.sizes() == at::IntArrayRef({3, 3, 6, 8}));
    images.sum().backward();
    CHECK(state.grad().abs().sum().item<float>() > 0);
    Steered steered;
    if (point.step == 2) steered.ancestors = torch::tensor({1, 1, 0}, torch::kLong);
    if (point.step == 3) steered.state = point.state + 0.1;
    return steered;
  };
  const auto rollout = generator.sample(toy_prompts(3), options, kDraws);
  REQUIRE(levels.size() == 4);
  for (std::size_t i = 1; i < levels.size(); ++i) CHECK(levels[i] < levels[i - 1]);
  const auto states = rollout.states;
  for (std::int64_t i = 0; i <= 2; ++i) CHECK(torch::equal(states[0][i], states[1][i]));
  for (std::int64_t i = 3; i <= 5; ++i) CHECK_FALSE(torch::equal(states[0][i], states[1][i]));
  const auto first = kDraws.normal("diffusion/start", 0, {3, 2, 3, 4});
  CHECK(torch::equal(states[2][0], first[0]));
  CHECK(torch::equal(rollout.log_prob[0].narrow(0, 0, 2), rollout.log_prob[1].narrow(0, 0, 2)));
  // What was kept is what step_terms() finds, also where the state was moved, and where the prompt
  // was the same all along.
  const auto terms = generator.step_terms(rollout, all_steps(3, 5), {});
  CHECK(torch::equal(terms.log_prob.narrow(1, 2, 3), rollout.log_prob.narrow(1, 2, 3)));
  CHECK(torch::equal(terms.log_prob[1], rollout.log_prob[1]));
}

TEST_CASE("LatentDiffusion's training error is zero for a true prediction and per location",
          "[generators][diffusion]") {
  auto generator = toy_diffusion(ToyNetwork(), scheduler(Sampler::kFlow));
  const auto clean = torch::ones({2, 2, 3, 4});
  const auto corrupted = generator.corrupt(clean, torch::tensor({0.F, 0.5F}), kDraws);
  CHECK(torch::equal(corrupted.state[0], clean[0]));
  CHECK(torch::equal(generator.error(corrupted.target, corrupted), torch::zeros({2, 3, 4})));
  auto prediction = corrupted.target.clone();
  prediction[1][0][2][3] += 3;
  const auto error = generator.error(prediction, corrupted);
  CHECK(std::abs(error[1][2][3].item<float>() - 4.5F) < 1e-5F);  // (9 + 0) / 2
  CHECK(std::abs(error.sum().item<float>() - 4.5F) < 1e-5F);

  const auto trained = generator.predict(corrupted, toy_prompts(2), Policy::kTrained, 2);
  CHECK(trained.requires_grad());
  CHECK_FALSE(generator.predict(corrupted, toy_prompts(2), Policy::kOld, 2).requires_grad());
}

TEST_CASE("LatentDiffusion inpaints what the mask marks and nothing else",
          "[generators][diffusion]") {
  const bool inpainting_model = GENERATE(false, true);
  ToyNetwork network(inpainting_model ? 5 : 2);
  auto generator = toy_diffusion(network, scheduler(Sampler::kDdim), inpainting_model);
  const auto images = 0.3 + 0.4 * kDraws.uniform("images", 0, {2, 3, 6, 8});
  auto masks = torch::zeros({2, 6, 8}, torch::kBool);
  masks[0].narrow(0, 0, 3).narrow(1, 0, 1).fill_(true);
  const auto redrawn = generator.inpaint(images, masks, toy_prompts(2), {.num_steps = 4}, kDraws);
  const auto outside = ~masks.unsqueeze(1).expand_as(images);
  CHECK(torch::equal(redrawn.masked_select(outside), images.masked_select(outside)));
  CHECK_FALSE(torch::allclose(redrawn.masked_select(~outside), images.masked_select(~outside)));
  if (!inpainting_model) return;
  REQUIRE(network->seen.size(1) == 5);
  auto touched = torch::zeros({3, 4});
  touched.narrow(0, 0, 2).narrow(1, 0, 1).fill_(1);
  CHECK(torch::equal(network->seen[0][2], touched));
  const auto known = generator.encode(images.masked_fill(masks.unsqueeze(1), 0.5));
  CHECK(torch::allclose(network->seen.narrow(1, 3, 2), known));
  generator.sample(toy_prompts(1), {.num_steps = 2}, kDraws);
  CHECK(torch::equal(network->seen[0][2], torch::ones({3, 4})));
}

TEST_CASE("LatentDiffusion keeps to the latents around a mask", "[generators][diffusion]") {
  // The network always answers with the noise that would make everything the picture "zeros".
  ToyNetwork network;
  auto generator = toy_diffusion(network, {.prediction = Prediction::kClean, .steps_offset = 1});
  {
    const torch::NoGradGuard no_grad;
    for (auto& one : network->parameters()) one.zero_();
  }
  const auto images = torch::full({1, 3, 6, 8}, 0.6F);
  auto masks = torch::zeros({1, 6, 8}, torch::kBool);
  masks.index_put_({0, 0, 0}, true);
  const auto redrawn = generator.inpaint(images, masks, toy_prompts(1), {.num_steps = 8}, kDraws);
  CHECK(std::abs(redrawn[0][0][0][0].item<float>() - 0.5F) < 0.02F);
  CHECK(std::abs(redrawn[0][0][5][5].item<float>() - 0.6F) < 1e-6F);
}

TEST_CASE("LatentDiffusion's image to image walks the last part of the steps",
          "[generators][diffusion]") {
  ToyNetwork network;
  auto generator = toy_diffusion(network, scheduler(Sampler::kDpmSolver2M));
  const auto images = 0.3 + 0.4 * kDraws.uniform("images", 0, {2, 3, 6, 8});
  const auto latents = generator.encode(images);
  double before = 0;
  for (const double strength : {0.1, 0.5, 1.0}) {
    network->calls = 0;
    const auto rollout =
        generator.image_to_image(images, strength, toy_prompts(2), {.num_steps = 10}, kDraws);
    CHECK(network->calls == static_cast<int>(strength * 10));
    const auto moved = (rollout.latents - latents).abs().mean().item<double>();
    CHECK(moved > before);
    before = moved;
  }
}

TEST_CASE("LatentDiffusion refuses what it cannot do", "[generators][diffusion]") {
  auto generator = toy_diffusion(ToyNetwork(), scheduler(Sampler::kDdim));
  const auto prompts = toy_prompts(2);
  CHECK_THROWS_MATCHES(generator.sample({}, {}, kDraws), ConfigError, Says("must not be empty"));
  CHECK_THROWS_MATCHES(generator.sample(prompts, {.guidance_scale = -1}, kDraws), ConfigError,
                       Says("guidance_scale must be >= 0"));
  CHECK_THROWS_MATCHES(generator.sample(prompts, {.start = torch::zeros({3, 2, 3, 4})}, kDraws),
                       ShapeError, Says("start must be [2 or 1, 2, 3, 4], got [3, 2, 3, 4]"));
  const auto rollout = generator.sample(prompts, {.num_steps = 4, .keep_trajectory = true}, kDraws);
  CHECK_THROWS_MATCHES(generator.step_terms(rollout, all_steps(2, 4), {}), ConfigError,
                       Says("needs stochasticity > 0"));
  auto kept = generator.sample(prompts, stochastic(), kDraws);
  CHECK_THROWS_MATCHES(generator.step_terms(kept, torch::full({2, 1}, 5, torch::kLong), {}),
                       ShapeError, Says("steps must be in [0, 5), got 5 to 5"));
  CHECK_THROWS_MATCHES(generator.step_terms(kept, all_steps(1, 5), {}), ShapeError, Says("steps"));
  kept.timesteps = kept.timesteps + 1;
  CHECK_THROWS_MATCHES(generator.step_terms(kept, all_steps(2, 5), {}), ConfigError,
                       Says("another's timesteps"));
  kept.states = torch::Tensor();
  CHECK_THROWS_MATCHES(generator.step_terms(kept, all_steps(2, 5), {}), ConfigError,
                       Says("got none (keep_trajectory)"));
  CHECK_THROWS_MATCHES(generator.encode(torch::zeros({1, 3, 8, 8})), ShapeError, Says("images"));
  const auto images = torch::zeros({2, 3, 6, 8});
  CHECK_THROWS_MATCHES(
      generator.inpaint(images, torch::zeros({2, 6, 6}, torch::kBool), prompts, {}, kDraws),
      ShapeError, Says("masks must be"));
  CHECK_THROWS_MATCHES(generator.image_to_image(images, 0, prompts, {}, kDraws), ConfigError,
                       Says("strength must be in (0, 1]"));
  CHECK_THROWS_MATCHES(generator.set_sampler(Sampler::kFlow), ConfigError, Says("go together"));
}
