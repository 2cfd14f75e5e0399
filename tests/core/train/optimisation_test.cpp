#include "rahf/core/train/optimisation.h"

#include <torch/autograd.h>

#include <cmath>
#include <limits>

#include "rahf/core/error.h"
#include "support/catch.h"

using namespace rahf::train;
using rahf::NonFiniteError;
using rahf::OptimisedParameter;

namespace {

torch::Tensor weights(std::int64_t seed, at::IntArrayRef sizes) {
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  return torch::randn(sizes).set_requires_grad(true);
}

OptimisationOptions plain() {
  return {.clip_norm = 0,
          .clip_apart = {},
          .schedule = {.learning_rate = 0.1, .warmup = 0, .decay = Decay::kConstant},
          .adamw = {.weight_decay = 0}};
}

/// A loss of two terms whose counts differ between parts of the data: the mean over rows, and the
/// mean over the entries of a ragged mask.
LossTerms terms_of(const torch::Tensor& w, const torch::Tensor& rows, const torch::Tensor& mask) {
  const auto out = torch::tanh(rows.matmul(w));  // [n, m]
  return {{.name = "rows",
           .weight = 2,
           .sum = out.square().mean(1).sum(),
           .count = static_cast<double>(rows.size(0))},
          {.name = "entries",
           .weight = 0.5,
           .sum = (out * mask).sum(),
           .count = mask.sum().item<double>()}};
}

}  // namespace

TEST_CASE("Optimisation gets one gradient however an update is cut into micro-batches",
          "[core][optimisation]") {
  const auto w = weights(1, {5, 3});
  const auto rows = torch::randn({8, 5});
  const auto mask = (torch::rand({8, 3}) < 0.4).to(torch::kFloat);
  const auto gradient = [&](std::int64_t parts) {
    Optimisation optimisation({{.name = "w", .value = w}}, plain(), 1);
    LossCounts counts;
    for (const auto& term : terms_of(w, rows, mask)) counts[term.name] = term.count;
    torch::Tensor sum;
    for (std::int64_t part = 0; part < parts; ++part) {
      const auto size = 8 / parts;
      const auto share = loss_share(
          terms_of(w, rows.narrow(0, part * size, size), mask.narrow(0, part * size, size)),
          counts);
      const auto more = optimisation.gradients(share)[0];
      sum = sum.defined() ? sum + more : more;
    }
    return sum;
  };
  const auto whole = gradient(1);
  CHECK(torch::allclose(gradient(4), whole, 0, 1e-6));
  CHECK(torch::allclose(gradient(8), whole, 0, 1e-6));
  // The mean of the parts' own means is something else.
  torch::Tensor mean_of_means = torch::zeros_like(whole);
  for (std::int64_t part = 0; part < 4; ++part) {
    const auto terms = terms_of(w, rows.narrow(0, part * 2, 2), mask.narrow(0, part * 2, 2));
    LossCounts counts;
    for (const auto& term : terms) counts[term.name] = term.count;
    mean_of_means += torch::autograd::grad({loss_share(terms, counts)}, {w})[0] / 4;
  }
  CHECK_FALSE(torch::allclose(mean_of_means, whole, 0, 1e-3));
}

TEST_CASE("loss_values are the weighted means over all micro-batches", "[core][optimisation]") {
  const auto one = torch::ones({});
  const std::vector<LossTerms> parts = {{{.name = "a", .weight = 2, .sum = one * 6, .count = 3},
                                         {.name = "b", .sum = one, .count = 1}},
                                        {{.name = "a", .weight = 2, .sum = one * 2, .count = 1},
                                         {.name = "b", .sum = one * 0, .count = 0}}};
  const auto values = loss_values(parts);
  REQUIRE(values.size() == 3);
  CHECK(values[0].first == "loss");
  CHECK(values[0].second.item<double>() == 5);  // 2 * 8 / 4 + 1
  CHECK(values[1].first == "loss/a");
  CHECK(values[1].second.item<double>() == 2);
  CHECK(values[2].second.item<double>() == 1);
}

TEST_CASE("loss_share leaves out a term that nothing counts for", "[core][optimisation]") {
  const LossTerms terms = {{.name = "a", .sum = torch::full({}, 7.0F), .count = 0}};
  CHECK(loss_share(terms, {{"a", 0}}).item<double>() == 0);
  REQUIRE_THROWS_MATCHES(loss_share(terms, {}), rahf::ConfigError, Says("got none for a"));
}

TEST_CASE("Optimisation adds up backward calls until it steps", "[core][optimisation]") {
  auto w = torch::tensor({1.0F, -1.0F}, torch::requires_grad());
  auto unused = torch::ones({2}, torch::requires_grad());
  auto options = plain();
  options.adamw.epsilon = 1e-12;
  Optimisation optimisation({{.name = "w", .value = w}, {.name = "unused", .value = unused}},
                            options, 10);
  optimisation.backward((w * torch::tensor({3.0F, -1.0F})).sum());
  optimisation.backward((w * torch::tensor({-1.0F, -1.0F})).sum());
  const auto norm = optimisation.step();
  // The gradient is {2, -2}; Adam's first step is the learning rate times its sign.
  CHECK(norm[0].second.item<double>() == Approx(std::sqrt(8.0)));
  CHECK(torch::allclose(w, torch::tensor({0.9F, -0.9F}), 0, 1e-6));
  CHECK(torch::equal(unused, torch::ones({2})));
  REQUIRE_THROWS_MATCHES(optimisation.step(), rahf::Error, Says("needs a gradient"));
}

TEST_CASE("Optimisation clips named groups on their own", "[core][optimisation]") {
  const auto a = torch::zeros({1}).set_requires_grad(true);
  const auto b = torch::zeros({1}).set_requires_grad(true);
  auto options = plain();
  options.clip_norm = 1;
  options.adamw.beta1 = 0;
  const auto moment = [&](const std::vector<std::string>& apart, const char* name) {
    options.clip_apart = apart;
    Optimisation optimisation({{.name = "head.a", .value = a}, {.name = "b", .value = b}}, options,
                              1);
    optimisation.backward((a * 30 + b * 0.5).sum());
    optimisation.step();
    return optimisation.state().at(std::string("exp_avg/") + name).item<double>();
  };
  // With beta1 = 0 the first moment is the clipped gradient.
  CHECK(moment({}, "b") == Approx(0.5 / std::sqrt(900.25)).epsilon(1e-4));
  CHECK(moment({"head."}, "b") == Approx(0.5));
  CHECK(moment({"head."}, "head.a") == Approx(1).epsilon(1e-4));
  REQUIRE_THROWS_MATCHES(moment({"tail."}, "b"), rahf::ConfigError,
                         Says("clip_apart = tail. must begin the name of a parameter"));
}

TEST_CASE("Optimisation stops before a step that is not finite and says why",
          "[core][optimisation][errors]") {
  const auto w = torch::ones({2}).set_requires_grad(true);
  Optimisation optimisation({{.name = "layer.weight", .value = w}}, plain(), 5);
  SECTION("by the gradient") {
    optimisation.backward((w * std::numeric_limits<float>::infinity()).sum());
    REQUIRE_THROWS_MATCHES(
        optimisation.step(), NonFiniteError,
        Says("step 1 is not finite: gradient_norm inf; gradients of layer.weight"));
  }
  SECTION("by a value of the update") {
    optimisation.backward(w.sum());
    const NamedValues values = {{"loss", torch::full({}, std::nanf(""))}};
    REQUIRE_THROWS_MATCHES(optimisation.step(values), NonFiniteError,
                           Says("step 1 is not finite: loss nan"));
  }
  CHECK(torch::equal(w, torch::ones({2})));
  CHECK(optimisation.steps() == 0);
}

TEST_CASE("Optimisation goes on from its state as if it had not stopped", "[core][optimisation]") {
  auto options = plain();
  options.ema = 0.9;
  options.clip_norm = 1;
  options.schedule = {.learning_rate = 0.1, .warmup = 2, .decay = Decay::kCosine};
  const auto start = weights(4, {3, 2}).detach();
  const auto x = torch::randn({3, 2});
  const auto run = [&](Optimisation& optimisation, const torch::Tensor& w, int steps) {
    for (int i = 0; i < steps; ++i) {
      optimisation.backward((w * x).square().sum());
      optimisation.step();
    }
  };
  auto unbroken = start.clone().set_requires_grad(true);
  Optimisation whole({{.name = "w", .value = unbroken}}, options, 6);
  run(whole, unbroken, 6);

  auto first = start.clone().set_requires_grad(true);
  Optimisation before({{.name = "w", .value = first}}, options, 6);
  run(before, first, 3);
  auto second = torch::zeros_like(start).set_requires_grad(true);
  Optimisation after({{.name = "w", .value = second}}, options, 6);
  after.load_state(before.state());
  run(after, second, 3);

  CHECK(torch::equal(second, unbroken));
  CHECK(after.learning_rate() == whole.learning_rate());
  {
    const Averaged one(after), other(whole);
    CHECK(torch::equal(second, unbroken));
    CHECK_FALSE(torch::equal(second, start));
  }
  REQUIRE_THROWS_MATCHES(after.load_state({}), rahf::CheckpointError, Says("is missing"));
}
