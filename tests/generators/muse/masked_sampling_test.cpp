#include "rahf/generators/muse/masked_sampling.h"

#include <cmath>
#include <vector>

#include "rahf/core/error.h"
#include "rahf/core/io/safetensors.h"
#include "support/catch.h"
#include "support/paths.h"

using namespace rahf;
using generators::draw_tokens;
using generators::masked_step;
using generators::masked_step_log_prob;
using generators::MaskedSteps;
using generators::MaskSchedule;

namespace {

constexpr std::int64_t kMask = 9;  // of codes 0 to 4 in most tests

/// [1, V, 1, S] from the probabilities of each place.
torch::Tensor log_p_of(const std::vector<std::vector<double>>& places) {
  std::vector<torch::Tensor> columns;
  for (const auto& one : places) columns.push_back(torch::tensor(one, torch::kFloat));
  return torch::stack(columns, 1).log().unsqueeze(0).unsqueeze(2);
}

torch::Tensor row(const std::vector<std::int64_t>& ids) {
  return torch::tensor(ids).view({1, 1, -1});
}

std::vector<std::int64_t> mask_lengths(MaskSchedule schedule, std::int64_t steps,
                                       std::int64_t places) {
  // Every token equally sure but for its place: what is masked is a count.
  const auto log_p = torch::linspace(-1, 0, places).view({1, 1, 1, places});
  auto ids = torch::full({1, 1, places}, kMask, torch::kLong);
  const auto zeros = torch::zeros({1, 1, places}, torch::kLong);
  std::vector<std::int64_t> counts;
  const MaskedSteps all{.schedule = schedule, .count = steps, .first_temperature = 0};
  for (std::int64_t step = 0; step < steps; ++step) {
    ids = masked_step(log_p, ids, zeros, torch::rand({1, 1, places}), all.at(step), kMask).ids;
    counts.push_back((ids == kMask).sum().item<std::int64_t>());
  }
  return counts;
}

}  // namespace

TEST_CASE("masked_step goes through the reference's states when it gets its draws",
          "[generators][masked_sampling][parity]") {
  struct Case {
    const char* name;
    MaskedSteps steps;
  };
  const auto c = GENERATE(Case{"cosine", {.schedule = MaskSchedule::kCosine, .count = 12}},
                          Case{"linear",
                               {.schedule = MaskSchedule::kLinear,
                                .count = 5,
                                .first_temperature = 1.5,
                                .last_temperature = 0.01}},
                          Case{"inpaint", {.schedule = MaskSchedule::kLinear, .count = 8}});
  INFO(c.name);
  const auto file = rahf::test::fixtures() / "muse" / (std::string(c.name) + ".safetensors");
  const auto read = io::read_safetensors(file).tensors;
  const auto& states = read.at("states");
  const std::int64_t mask = read.at("logits").size(2) + 2;
  const auto start = (states[0] == mask).to(torch::kFloat).mean().expand({states.size(1)});
  auto ids = states[0];
  for (std::int64_t t = 0; t < c.steps.count; ++t) {
    INFO("step " << t);
    const auto step = c.steps.at(t);
    CHECK(step.temperature == Approx(read.at("temperatures")[t].item<double>()).margin(1e-6));
    ids = masked_step(torch::log_softmax(read.at("logits")[t], 1), ids, read.at("drawn")[t],
                      read.at("uniforms")[t], step, mask, start)
              .ids;
    CHECK(torch::equal(ids, states[t + 1]));
  }
  CHECK((ids != mask).all().item<bool>());
}

TEST_CASE("MaskedSteps leaves as many tokens masked as the reference",
          "[generators][masked_sampling]") {
  // In f32, as the reference rounds: exactly half of 256 comes out as 127.
  CHECK(mask_lengths(MaskSchedule::kCosine, 12, 256) ==
        std::vector<std::int64_t>{253, 247, 236, 221, 203, 181, 155, 127, 97, 66, 33, 0});
  CHECK(mask_lengths(MaskSchedule::kCosine, 8, 1024) ==
        std::vector<std::int64_t>{1004, 946, 851, 724, 568, 391, 199, 0});
  CHECK(mask_lengths(MaskSchedule::kLinear, 12, 240) ==
        std::vector<std::int64_t>{220, 200, 180, 159, 140, 120, 100, 79, 60, 40, 19, 0});
}

TEST_CASE("MaskedSteps states the temperature and the share before each step",
          "[generators][masked_sampling]") {
  const MaskedSteps steps{
      .schedule = MaskSchedule::kLinear, .count = 4, .first_temperature = 3, .last_temperature = 0};
  CHECK(steps.at(0).temperature == 3);
  CHECK(steps.at(1).temperature == Approx(2));
  CHECK(steps.at(3).temperature == 0);
  CHECK_FALSE(steps.at(2).last);
  CHECK(steps.at(3).last);
  CHECK(torch::allclose(steps.shares(), torch::tensor({1.0, 0.75, 0.5, 0.25}, torch::kFloat)));
  CHECK(MaskedSteps{.count = 1}.at(0).last);
}

TEST_CASE("masked_step keeps known tokens and the surest of the others",
          "[generators][masked_sampling]") {
  const auto log_p = log_p_of({{.6, .3, .1}, {.2, .7, .1}, {.1, .1, .8}, {.4, .5, .1}});
  const auto ids = row({kMask, kMask, 1, kMask}), drawn = row({0, 0, 2, 1});
  const auto noise = torch::full({1, 1, 4}, 0.5);
  const auto state = masked_step(log_p, ids, drawn, noise, {.mask_share = 0.6}, kMask);
  CHECK(torch::equal(state.proposed, row({0, 0, 1, 1})));
  CHECK(torch::equal(state.ids, row({0, kMask, 1, kMask})));  // .2 and .5 against .6
  CHECK(torch::allclose(state.log_threshold, torch::full({1, 1, 4}, std::log(0.6f))));

  SECTION("one more is kept than was, however many the schedule would mask") {
    const auto more = masked_step(log_p, ids, drawn, noise, {.mask_share = 1}, kMask);
    CHECK(torch::equal(more.ids, row({0, kMask, 1, kMask})));
  }
  SECTION("one stays masked until the last step") {
    const auto least = masked_step(log_p, ids, drawn, noise, {.mask_share = 0}, kMask);
    CHECK(torch::equal(least.ids, row({0, kMask, 1, 1})));
    const auto last = masked_step(log_p, ids, drawn, noise, {.last = true}, kMask);
    CHECK(torch::equal(last.ids, row({0, 0, 1, 1})));
  }
  SECTION("noise decides at a high temperature") {
    const auto loud = torch::tensor({0.01, 0.99, 0.5, 0.5}, torch::kFloat).view({1, 1, 4});
    const auto hot =
        masked_step(log_p, ids, drawn, loud, {.mask_share = 0.6, .temperature = 100}, kMask);
    CHECK(torch::equal(hot.ids, row({kMask, 0, 1, kMask})));
  }
  SECTION("a grid without unknown tokens stays as it is") {
    const auto known = row({0, 1, 2, 0});
    CHECK(
        torch::equal(masked_step(log_p, known, drawn, noise, {.mask_share = 1}, kMask).ids, known));
  }
}

TEST_CASE("draw_tokens draws each code as often as its probability",
          "[generators][masked_sampling]") {
  torch::manual_seed(3);
  const auto p = torch::tensor({0.1, 0.0, 0.6, 0.3}, torch::kFloat);
  const std::int64_t n = 20000;
  const auto ids =
      draw_tokens(p.log().view({1, 4, 1, 1}).expand({1, 4, 1, n}), torch::rand({1, 1, n}));
  const auto counts = torch::bincount(ids.flatten(), {}, 4).to(torch::kFloat) / n;
  CHECK(torch::allclose(counts, p, 0, 0.015));
  CHECK(counts[1].item<float>() == 0);
}

TEST_CASE("draw_tokens stays among the codes at both ends", "[generators][masked_sampling]") {
  const auto log_p = log_p_of({{.5, .25, .25}, {.5, .25, .25}, {.5, .25, .25}});
  const auto u = torch::tensor({0.0, 0.5, 0.99999994}, torch::kFloat).view({1, 1, 3});
  CHECK(torch::equal(draw_tokens(log_p, u), row({0, 1, 2})));
}

TEST_CASE("masked_step_log_prob is log p of a token uncovered and of the mass left masked",
          "[generators][masked_sampling]") {
  const auto log_p = log_p_of({{.6, .3, .1}, {.2, .7, .1}, {.1, .1, .8}, {.4, .5, .1}});
  const auto before = row({kMask, kMask, 1, kMask});
  const generators::MaskedTransition transition{before, row({0, kMask, 1, kMask}),
                                                torch::full({1, 1, 4}, std::log(0.6f))};
  const auto log_prob = masked_step_log_prob(log_p, transition, kMask);
  // Below .6 lie .2 + .1 of the second place and all of the fourth.
  CHECK(torch::allclose(log_prob.flatten(),
                        torch::tensor({0.6, 0.3, 1.0, 1.0}, torch::kFloat).log(), 1e-5, 1e-6));
}

TEST_CASE("masked_step_log_prob leaves no room for what could not be masked",
          "[generators][masked_sampling]") {
  const auto log_p = log_p_of({{.5, .5}});
  const generators::MaskedTransition impossible{row({kMask}), row({kMask}),
                                                torch::full({1, 1, 1}, std::log(0.1f))};
  CHECK(masked_step_log_prob(log_p, impossible, kMask).item<double>() == Approx(std::log(1e-20)));
}

TEST_CASE("masked_step_log_prob adds up to one over the tokens of a place",
          "[generators][masked_sampling]") {
  // With the cut and its own noise given, a place either shows a token at or above its threshold or
  // stays masked.
  torch::manual_seed(4);
  const auto log_p = torch::log_softmax(2 * torch::randn({1, 5, 1, 1}), 1);
  const auto threshold = torch::full({1, 1, 1}, std::log(0.2f));
  auto total = masked_step_log_prob(log_p, {row({kMask}), row({kMask}), threshold}, kMask).exp();
  for (std::int64_t v = 0; v < 5; ++v) {
    if (log_p[0][v][0][0].item<float>() < std::log(0.2f)) continue;
    total = total + masked_step_log_prob(log_p, {row({kMask}), row({v}), threshold}, kMask).exp();
  }
  CHECK(total.item<double>() == Approx(1).epsilon(1e-5));
}

TEST_CASE("masked_step_log_prob's gradient is that of finite differences",
          "[generators][masked_sampling]") {
  torch::manual_seed(5);
  auto logits = torch::randn({1, 4, 1, 3}).requires_grad_();
  const generators::MaskedTransition transition{row({kMask, kMask, 1}), row({2, kMask, 1}),
                                                torch::full({1, 1, 3}, std::log(0.4f))};
  const auto value = [&](const torch::Tensor& x) {
    return masked_step_log_prob(torch::log_softmax(x, 1), transition, kMask).sum();
  };
  value(logits).backward();
  const torch::NoGradGuard no_grad;
  const auto direction = torch::randn_like(logits);
  const double step = 1e-2;
  const auto slope =
      (value(logits + step * direction) - value(logits - step * direction)) / (2 * step);
  CHECK(slope.item<double>() ==
        Approx((logits.grad() * direction).sum().item<double>()).epsilon(1e-2));
  CHECK(logits.grad().select(3, 2).abs().max().item<float>() == 0);  // was known
}

TEST_CASE("mask_tokens masks the rounded share, and one at least",
          "[generators][masked_sampling]") {
  torch::manual_seed(6);
  const auto ids = torch::randint(0, 5, {4, 3, 5}, torch::kLong);
  const auto level = torch::tensor({0.0, 0.3, 0.5, 1.0}, torch::kFloat);
  const auto masked = generators::mask_tokens(ids, level, torch::rand({4, 3, 5}), kMask);
  CHECK(torch::equal((masked == kMask).flatten(1).sum(1), torch::tensor({1, 4, 8, 15})));
  CHECK(torch::equal(masked.masked_select(masked != kMask), ids.masked_select(masked != kMask)));
  const auto noise = torch::arange(15, torch::kFloat).flip(0).view({1, 3, 5});
  const auto last =
      generators::mask_tokens(ids.slice(0, 0, 1), torch::tensor({0.2f}), noise, kMask);
  CHECK(torch::equal((last == kMask).flatten().nonzero().flatten(), torch::tensor({12, 13, 14})));
}

TEST_CASE("masked_step rejects shapes that do not belong together",
          "[generators][masked_sampling]") {
  const auto log_p = log_p_of({{.5, .5}, {.5, .5}});
  REQUIRE_THROWS_MATCHES(
      masked_step(log_p, row({kMask, kMask}), row({0, 1}), torch::zeros({1, 1, 3}), {}, kMask),
      ShapeError, Says("noise must be [B, h, w] Float, got [1, 1, 3] Float"));
  REQUIRE_THROWS_MATCHES(draw_tokens(log_p, torch::zeros({2, 1, 2})), ShapeError,
                         Says("uniform must be"));
}
