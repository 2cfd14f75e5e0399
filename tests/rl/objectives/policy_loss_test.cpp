#include "rahf/rl/objectives/policy_loss.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include <cmath>

#include "rahf/core/error.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/train/optimisation.h"
#include "rahf/rl/loop/advantage.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/toy_generator.h"

using rahf::rl::Clipping;
using rahf::rl::policy_loss;
using rahf::rl::PolicyTerms;
using rahf::rl::Ratio;

namespace {

torch::Tensor numbers(torch::IntArrayRef sizes, std::uint64_t seed) {
  return rahf::Draws{.random = rahf::Randomness(seed)}.normal("test", 0, sizes);
}

PolicyTerms some_terms() {
  auto log_prob = 0.1 * numbers({4, 3, 2, 2}, 1);
  return {.log_prob = log_prob.requires_grad_(),
          .old_log_prob = 0.1 * numbers({4, 3, 2, 2}, 2),
          .kl = numbers({4, 3, 2, 2}, 3).square(),
          .decided = numbers({4, 3, 2, 2}, 4) > 0,
          .advantages = numbers({4, 3}, 5)};
}

torch::Tensor gradient(const torch::Tensor& loss, const torch::Tensor& of) {
  return torch::autograd::grad({loss.sum()}, {of}, {}, /*retain_graph=*/true)[0];
}

}  // namespace

TEST_CASE("policy_loss has the gradient of the policy gradient while ratios are 1",
          "[rl][policy_loss]") {
  auto terms = some_terms();
  terms.old_log_prob = terms.log_prob.detach();
  const auto kind = GENERATE(Ratio::kMean, Ratio::kSum, Ratio::kLocation);
  const auto clipping = GENERATE(Clipping::kPessimistic, Clipping::kClamp, Clipping::kBatchMinimum);
  const auto result = policy_loss(terms, {.ratio = kind, .clipping = clipping});
  CHECK(result.ratio.item<float>() == 1);
  CHECK(result.clip_fraction.item<float>() == 0);
  CHECK(result.approx_kl.item<float>() == 0);
  CHECK(torch::allclose(result.loss, -terms.advantages));
  const double share = kind == Ratio::kSum ? 1 : 0.25;
  const auto expected = (-share * terms.advantages).unsqueeze(2).unsqueeze(3).expand({4, 3, 2, 2});
  CHECK(torch::allclose(gradient(result.loss, terms.log_prob), expected, 1e-5, 1e-7));
}

TEST_CASE("policy_loss gives a two-armed bandit the gradient A (1 - p)", "[rl][policy_loss]") {
  // d log sigmoid(theta) / d theta = 1 - sigmoid(theta) for arm 1, -sigmoid(theta) for arm 0.
  ToyGenerator toy(true, {.height = 1, .width = 1});
  toy.start_from(torch::tensor({0.7F, 0.F, 0.F}).view({3, 1, 1}));
  const auto rollout =
      toy.sample({{"red"}, {"red"}, {"red"}, {"red"}, {"red"}},
                 {.num_steps = 1, .keep_trajectory = true}, {.random = rahf::Randomness(2)});
  const auto steps = torch::zeros({5, 1}, torch::kLong);
  const auto terms = toy.step_terms(rollout, steps, {});
  const auto advantages = torch::tensor({1.F, -2.F, 0.5F, 0.F, 3.F});
  const auto loss = policy_loss({.log_prob = terms.log_prob,
                                 .old_log_prob = rollout.log_prob,
                                 .advantages = advantages.unsqueeze(1)},
                                {});
  const auto arms = rollout.latents.view({5}).to(torch::kFloat);
  CHECK(arms.sum().item<float>() > 0);
  CHECK(arms.sum().item<float>() < 5);
  const auto expected = -(advantages * (arms - torch::sigmoid(torch::tensor(0.7F)))).sum();
  const auto found = torch::autograd::grad({loss.loss.sum()}, {toy.theta()})[0][0];
  CHECK(found.item<float>() == Approx(expected.item<float>()).epsilon(1e-5));
}

TEST_CASE("policy_loss stops at the clip range as its kind says", "[rl][policy_loss]") {
  // One location each; ratios 1.5 (A = 1), 1.5 (A = -1), .5 (A = 1), .5 (A = -1).
  auto log_prob = torch::tensor({1.5F, 1.5F, 0.5F, 0.5F}).log().view({4, 1, 1, 1});
  log_prob.requires_grad_();
  const auto advantages = torch::tensor({1.F, -1.F, 1.F, -1.F}).view({4, 1});
  const PolicyTerms terms{
      .log_prob = log_prob, .old_log_prob = torch::zeros({4, 1, 1, 1}), .advantages = advantages};
  SECTION("pessimistic: a clipped ratio counts where it makes things worse") {
    const auto result = policy_loss(terms, {.clip_low = 0.2, .clip_high = 0.1});
    CHECK(torch::allclose(result.loss.flatten(), torch::tensor({-1.1F, 1.5F, -0.5F, 0.8F})));
    CHECK(torch::allclose(gradient(result.loss, log_prob).flatten(),
                          torch::tensor({0.F, 1.5F, -0.5F, 0.F})));
    CHECK(result.clip_fraction.item<float>() == 1);
  }
  SECTION("clamp: no gradient beyond the range") {
    const auto result =
        policy_loss(terms, {.clipping = Clipping::kClamp, .clip_low = 0.2, .clip_high = 0.1});
    CHECK(torch::allclose(result.loss.flatten(), torch::tensor({-1.1F, 1.1F, -0.8F, 0.8F})));
    CHECK(gradient(result.loss, log_prob).abs().max().item<float>() == 0);
  }
  SECTION("batch minimum: one of both for all pictures") {
    // Mean A r = 0 and mean A clip(r) = 0 exactly here; with the first alone, clipped is smaller.
    const auto one = policy_loss({.log_prob = log_prob.slice(0, 0, 1),
                                  .old_log_prob = torch::zeros({1, 1, 1, 1}),
                                  .advantages = torch::ones({1, 1})},
                                 {.clipping = Clipping::kBatchMinimum, .clip_high = 0.2});
    CHECK(one.loss.item<float>() == Approx(-1.2));
    // A r: 1.5 and -1.5 * 2; clipped 1.2 and -2.4: the free mean is the smaller, for both.
    const auto two = policy_loss({.log_prob = log_prob.slice(0, 0, 2),
                                  .old_log_prob = torch::zeros({2, 1, 1, 1}),
                                  .advantages = torch::tensor({1.F, -2.F}).view({2, 1})},
                                 {.clipping = Clipping::kBatchMinimum, .clip_high = 0.2});
    CHECK(torch::allclose(two.loss.flatten(), torch::tensor({-1.5F, 3.F})));
  }
}

TEST_CASE("policy_loss with weights of one is bit for bit that without", "[rl][policy_loss]") {
  auto terms = some_terms();
  const auto kind = GENERATE(Ratio::kMean, Ratio::kSum, Ratio::kLocation);
  const rahf::rl::PolicyLossOptions options{
      .ratio = kind, .clip_low = 0.05, .clip_high = 0.05, .kl_weight = 0.1};
  const auto plain = policy_loss(terms, options);
  const auto plain_gradient = gradient(plain.loss, terms.log_prob);
  terms.weights = torch::ones({4, 2, 2});
  const auto weighted = policy_loss(terms, options);
  CHECK(torch::equal(plain.loss, weighted.loss));
  CHECK(torch::equal(plain_gradient, gradient(weighted.loss, terms.log_prob)));

  terms.weights = torch::tensor({{2.F, 0.F}, {1.F, 1.F}}).expand({4, 2, 2}).contiguous();
  const auto moved = gradient(policy_loss(terms, options).loss, terms.log_prob);
  CHECK(moved.select(2, 0).select(2, 1).abs().max().item<float>() == 0);
  CHECK_FALSE(torch::equal(moved, plain_gradient));
}

TEST_CASE("policy_loss takes advantages per location", "[rl][policy_loss]") {
  auto terms = some_terms();
  terms.old_log_prob = terms.log_prob.detach();
  const auto flat = gradient(policy_loss(terms, {.ratio = Ratio::kLocation}).loss, terms.log_prob);
  terms.advantages = terms.advantages.unsqueeze(2).unsqueeze(3) * torch::ones({4, 3, 2, 2});
  const auto same = gradient(policy_loss(terms, {.ratio = Ratio::kLocation}).loss, terms.log_prob);
  CHECK(torch::allclose(flat, same));
  terms.advantages.select(2, 1).zero_();
  const auto half = gradient(policy_loss(terms, {.ratio = Ratio::kLocation}).loss, terms.log_prob);
  CHECK(half.select(2, 1).abs().max().item<float>() == 0);
  CHECK(torch::allclose(half.select(2, 0), flat.select(2, 0)));
  CHECK_THROWS_MATCHES(policy_loss(terms, {}), rahf::ConfigError,
                       Says("advantages per location need ratio = location"));
}

TEST_CASE("policy_loss leaves out undecided locations on request", "[rl][policy_loss]") {
  auto terms = some_terms();
  const auto found =
      gradient(policy_loss(terms, {.clip_low = 1, .clip_high = 9, .decided_only = true}).loss,
               terms.log_prob);
  CHECK(torch::equal(found != 0, terms.decided));
}

TEST_CASE("policy_loss is that of Flow-GRPO", "[rl][policy_loss][golden]") {
  auto fixture =
      rahf::io::read_safetensors(rahf::test::fixtures() / "rl" / "flow_grpo.safetensors").tensors;
  rahf::Prompts prompts;
  for (int i = 0; i < 12; ++i) prompts.push_back({"prompt " + std::to_string(i / 4)});
  rahf::rl::PromptRewards seen;
  const auto found = rahf::rl::advantages(
      fixture.at("rewards"), prompts,
      {.spread = rahf::rl::Spread::kBatch, .epsilon = 1e-4, .drop_equal = false}, seen);
  CHECK(torch::allclose(found.values, fixture.at("advantages"), 0, 1e-6));

  const auto log_prob = fixture.at("log_prob").requires_grad_();
  const auto kl = fixture.at("kl").requires_grad_();
  const auto result = policy_loss({.log_prob = log_prob,
                                   .old_log_prob = fixture.at("old_log_prob"),
                                   .kl = kl,
                                   .advantages = found.values.unsqueeze(1).repeat({1, 3})},
                                  {.kl_weight = 0.04});
  const auto loss = result.loss.mean();
  CHECK(loss.item<float>() == Approx(fixture.at("loss").item<float>()).margin(1e-6));
  const auto gradients = torch::autograd::grad({loss}, {log_prob, kl});
  CHECK(torch::allclose(gradients[0], fixture.at("log_prob_gradient"), 0, 1e-6));
  CHECK(torch::allclose(gradients[1], fixture.at("kl_gradient"), 0, 1e-6));
  CHECK(fixture.at("log_prob_gradient").abs().max().item<float>() > 1e-4F);
}

TEST_CASE("one DDPO update is that of a PyTorch transcription", "[rl][policy_loss][golden]") {
  const auto fixture =
      rahf::io::read_safetensors(rahf::test::fixtures() / "rl" / "ddpo.safetensors").tensors;
  ToyGenerator toy(false);
  const auto start = torch::cat({fixture.at("theta"), torch::zeros({1, 2, 3})});
  rahf::Rollout rollout{.options = {.num_steps = 3, .stochasticity = 1},
                        .states = fixture.at("states")};
  for (int i = 0; i < 6; ++i) {
    const auto prompt = fixture.at("prompts")[i].item<std::int64_t>();
    rollout.prompts.push_back({prompt == 0 ? "red" : "blue"});
  }
  const auto steps = torch::arange(3).unsqueeze(0).repeat({6, 1});
  toy.start_from(start + torch::cat({fixture.at("drift"), torch::zeros({1, 2, 3})}));
  const auto old = toy.step_terms(rollout, steps, {}).log_prob.detach();
  toy.start_from(start);

  rahf::rl::PromptRewards seen;
  for (const auto reward : {0, 1}) {
    seen.add("red", fixture.at("history0")[reward].item<double>(), 8);
  }
  seen.add("blue", fixture.at("history1")[0].item<double>(), 8);
  const auto found = rahf::rl::advantages(fixture.at("rewards"), rollout.prompts,
                                          {.baseline = rahf::rl::Baseline::kBuffer,
                                           .epsilon = 1e-6,
                                           .buffer_size = 8,
                                           .buffer_min = 5,
                                           .drop_equal = false},
                                          seen);
  CHECK(torch::allclose(found.values, fixture.at("advantages"), 0, 1e-6));

  rahf::train::Optimisation optimisation(
      toy.trainable(),
      {.clip_norm = 1,
       .schedule = {.learning_rate = 3e-4, .warmup = 0, .decay = rahf::train::Decay::kConstant},
       .adamw = {.weight_decay = 1e-4}},
      1);
  // Two micro-batches.
  double loss = 0;
  for (const auto& rows : {torch::arange(0, 4), torch::arange(4, 6)}) {
    const auto terms = toy.step_terms(select(rollout, rows), steps.index_select(0, rows), {});
    const auto part =
        policy_loss({.log_prob = terms.log_prob,
                     .old_log_prob = old.index_select(0, rows),
                     .advantages = found.values.index_select(0, rows).unsqueeze(1).repeat({1, 3})},
                    {})
            .loss.sum() /
        18;
    loss += part.item<double>();
    optimisation.backward(part);
  }
  CHECK(loss == Approx(fixture.at("loss").item<double>()).margin(1e-6));
  const auto values = optimisation.step();
  CHECK(values.front().second.item<float>() ==
        Approx(fixture.at("norm").item<float>()).epsilon(1e-5));
  CHECK(torch::allclose(toy.theta().slice(0, 0, 2), fixture.at("theta_after"), 0, 1e-6));
  CHECK((fixture.at("theta_after") - fixture.at("theta")).abs().max().item<float>() > 1e-4F);
}
