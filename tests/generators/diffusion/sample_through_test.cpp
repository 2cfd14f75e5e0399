#include <torch/autograd.h>
#include <torch/types.h>

#include <cmath>
#include <numeric>

#include "rahf/core/error.h"
#include "rahf/generators/diffusion/latent_diffusion.h"
#include "support/catch.h"
#include "toy_diffusion.h"

using namespace rahf;
using namespace rahf::generators;

namespace {

const Draws kDraws{.random = Randomness(5), .first = 20};
const auto kWeights = torch::cos(torch::arange(144)).view({1, 3, 6, 8});

SchedulerOptions scheduler() { return {.prediction = Prediction::kVelocity, .steps_offset = 1}; }

std::vector<std::int64_t> all_of(std::int64_t T) {
  std::vector<std::int64_t> steps(T);
  std::iota(steps.begin(), steps.end(), 0);
  return steps;
}

double loss(LatentDiffusion& generator, const BackpropOptions& options) {
  const torch::NoGradGuard no_grad;
  const auto images = generator.sample_through(toy_prompts(2), options, kDraws);
  return (images.to(torch::kDouble) * kWeights).sum().item<double>();
}

/// Gradients of the loss by parameter, in the order of trainable().
std::vector<torch::Tensor> gradients(LatentDiffusion& generator, const BackpropOptions& options) {
  std::vector<torch::Tensor> values;
  for (const auto& one : generator.trainable()) values.push_back(one.value);
  const auto images = generator.sample_through(toy_prompts(2), options, kDraws);
  return torch::autograd::grad({(images * kWeights).sum()}, values);
}

/// Of the whole sampler, without sample_through(): a steering hook is not needed, nor any option.
std::vector<torch::Tensor> full_gradients(ToyNetwork& network, LatentDiffusion& generator,
                                          const SampleOptions& options,
                                          bool linear_only_until_last) {
  const auto plan =
      plan_steps(generator.options().scheduler, options.num_steps, options.stochasticity);
  const auto text = [] {
    std::vector<torch::Tensor> all;
    for (const auto& prompt : toy_prompts(2)) {
      const auto key = static_cast<float>(std::hash<std::string>()(prompt.text) % 97);
      all.push_back(torch::cos(torch::arange(12) * (1 + key)).view({3, 4}));
    }
    return torch::stack(all);
  }();
  auto x = kDraws.normal("diffusion/start", 0, {2, 2, 3, 4});
  for (std::int64_t i = 0; i < plan.size(); ++i) {
    auto prediction = network->forward(x, plan.timesteps[i].expand({2}), text);
    if (linear_only_until_last && i > 0) prediction = prediction.detach();
    const auto step = take_step(plan, torch::full({2}, i, torch::kLong), x, prediction);
    x = step.mean + step.std * kDraws.normal("diffusion/step", i, x.sizes());
  }
  std::vector<torch::Tensor> values;
  for (const auto& one : generator.trainable()) values.push_back(one.value);
  return torch::autograd::grad({(generator.decode(x) * kWeights).sum()}, values);
}

void check_close(const std::vector<torch::Tensor>& got,
                 const std::vector<torch::Tensor>& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(expected[i].abs().max().item<float>() > 0);
    CHECK(torch::allclose(got[i], expected[i], 1e-4, 1e-6));
  }
}

}  // namespace

TEST_CASE("sample_through with all steps has the gradient of the whole sampler",
          "[generators][diffusion][sample_through]") {
  ToyNetwork network;
  auto generator = toy_diffusion(network, scheduler());
  const SampleOptions sampling{.num_steps = 4, .stochasticity = GENERATE(0.0, 1.0)};
  const bool detach = GENERATE(true, false);
  const auto got = gradients(
      generator, {.sampling = sampling, .graph_steps = all_of(4), .detach_state = detach});
  check_close(got, full_gradients(network, generator, sampling, false));
}

TEST_CASE("sample_through makes the picture that sample makes",
          "[generators][diffusion][sample_through]") {
  auto generator = toy_diffusion(ToyNetwork(), scheduler());
  const SampleOptions sampling{.num_steps = 4, .guidance_scale = 2, .stochasticity = 1};
  const auto images =
      generator.sample_through(toy_prompts(3), {.sampling = sampling, .graph_steps = {3}}, kDraws);
  CHECK(images.requires_grad());
  CHECK(torch::equal(images.detach(), generator.sample(toy_prompts(3), sampling, kDraws).images));
}

TEST_CASE("sample_through gives frozen steps no gradient, and keeps a graph for the others alone",
          "[generators][diffusion][sample_through]") {
  ToyNetwork network;
  auto generator = toy_diffusion(network, scheduler());
  const SampleOptions sampling{.num_steps = 4, .stochasticity = 1};
  for (const std::vector<std::int64_t>& kept :
       {std::vector<std::int64_t>{3}, std::vector<std::int64_t>{2, 3}}) {
    network->calls = network->graph_calls = 0;
    const auto got = gradients(generator, {.sampling = sampling, .graph_steps = kept});
    CHECK(network->calls == 4);
    CHECK(network->graph_calls == static_cast<int>(kept.size()));
    // offset[t] belongs to the step at t = 751, 501, 251, 1.
    auto reached = torch::zeros({1001}, torch::kBool);
    for (const auto step : kept) reached[751 - 250 * step] = true;
    CHECK(torch::equal(got[0] != 0, reached));
  }
}

TEST_CASE("sample_through's gradient equals finite differences in two steps",
          "[generators][diffusion][sample_through]") {
  ToyNetwork network;
  auto generator = toy_diffusion(network, scheduler());
  BackpropOptions options{.sampling = {.num_steps = 2, .guidance_scale = 1.5},
                          .graph_steps = {0, 1}};
  if (GENERATE(false, true)) {  // to a clean estimate on the way
    options.graph_steps = {0};
    options.decode_at = 0;
  }
  const auto got = gradients(generator, options);
  const auto parameters = generator.trainable();
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    const auto flat = parameters[p].value.detach().view({-1});
    const auto slope = got[p].reshape({-1});
    // The entry with the largest slope tells most.
    const auto k = slope.abs().argmax().item<std::int64_t>();
    const float step = 1e-2F, middle = flat[k].item<float>();
    flat[k] = middle + step;
    const double above = loss(generator, options);
    flat[k] = middle - step;
    const double below = loss(generator, options);
    flat[k] = middle;
    INFO(parameters[p].name);
    const double expected = (above - below) / (2 * static_cast<double>(step));
    CHECK(std::abs(slope[k].item<double>() - expected) < 1e-2 * std::abs(expected) + 1e-4);
  }
}

TEST_CASE("sample_through without detaching leaves a frozen step's linear path",
          "[generators][diffusion][sample_through]") {
  ToyNetwork network;
  auto generator = toy_diffusion(network, scheduler());
  const SampleOptions sampling{.num_steps = 3};
  const auto got =
      gradients(generator, {.sampling = sampling, .graph_steps = {0}, .detach_state = false});
  check_close({got[0]}, {full_gradients(network, generator, sampling, true)[0]});
}

TEST_CASE("sample_through's checkpointing changes no gradient",
          "[generators][diffusion][sample_through]") {
  auto generator = toy_diffusion(ToyNetwork(), scheduler());
  BackpropOptions options{.sampling = {.num_steps = 3, .guidance_scale = 2}, .graph_steps = {1, 2}};
  const auto plain = gradients(generator, options);
  options.checkpointing = true;
  const auto checkpointed = gradients(generator, options);
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(torch::equal(plain[i], checkpointed[i]));
}

TEST_CASE("sample_through refuses options by which no gradient reaches the picture",
          "[generators][diffusion][sample_through]") {
  auto generator = toy_diffusion(ToyNetwork(), scheduler());
  const auto refuses = [&](const BackpropOptions& options, const char* part) {
    CHECK_THROWS_MATCHES(generator.sample_through(toy_prompts(1), options, kDraws), ConfigError,
                         Says(part));
  };
  const SampleOptions sampling{.num_steps = 4};
  refuses({.sampling = sampling}, "no gradient reaches the picture");
  refuses({.sampling = sampling, .graph_steps = {2}}, "must hold step 3");
  refuses({.sampling = sampling, .graph_steps = {3}, .decode_at = 2, .detach_state = false},
          "must hold a step up to 2");
  refuses({.sampling = sampling, .graph_steps = {4}}, "graph_steps must be in [0, 4), got 4");
  refuses({.sampling = sampling, .graph_steps = {3}, .decode_at = 4}, "decode_at must be in");
  refuses({.sampling = {.num_steps = 4, .policy = Policy::kOld}, .graph_steps = {3}},
          "policy must be the trained one");
}
