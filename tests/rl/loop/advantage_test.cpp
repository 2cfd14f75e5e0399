#include "rahf/rl/loop/advantage.h"

#include <torch/types.h>

#include <cmath>
#include <limits>

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::rl::advantages;
using rahf::rl::Baseline;
using rahf::rl::PromptRewards;
using rahf::rl::Spread;

namespace {

rahf::Prompts groups_of(std::int64_t groups, std::int64_t size) {
  rahf::Prompts prompts;
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::int64_t i = 0; i < size; ++i) prompts.push_back({"prompt " + std::to_string(g)});
  }
  return prompts;
}

}  // namespace

TEST_CASE("advantages of a group are its rewards without mean over standard deviation",
          "[rl][advantage]") {
  const auto rewards = torch::tensor({1.F, 2.F, 3.F, 10.F, 20.F, 60.F});
  const auto prompts = groups_of(2, 3);
  PromptRewards seen;
  // Group 0: mean 2, std sqrt(2/3); group 1: mean 30, std sqrt(1400/3); all: mean 16.
  const double own = std::sqrt(2. / 3), second = std::sqrt(1400. / 3);
  SECTION("of its own") {
    const auto found = advantages(rewards, prompts, {.epsilon = 1e-8}, seen);
    CHECK(found.values[0].item<float>() == Approx(-1 / own));
    CHECK(found.values[5].item<float>() == Approx(30 / second));
    CHECK(found.group_std == Approx((own + second) / 2));
    CHECK(found.equal_share == 0);
    CHECK(found.values.slice(0, 0, 3).sum().item<float>() == Approx(0).margin(1e-6));
  }
  SECTION("over n - 1") {
    const auto found = advantages(rewards, prompts, {.epsilon = 1e-8, .unbiased = true}, seen);
    CHECK(found.values[0].item<float>() == Approx(-1));
  }
  SECTION("of the round") {
    const auto found =
        advantages(rewards, prompts, {.spread = Spread::kBatch, .epsilon = 1e-4}, seen);
    const double all = std::sqrt((15. * 15 + 14 * 14 + 13 * 13 + 6 * 6 + 4 * 4 + 44 * 44) / 6);
    CHECK(found.values[0].item<float>() == Approx(-1 / (all + 1e-4)));
    CHECK(found.values[5].item<float>() == Approx(30 / (all + 1e-4)));
  }
  SECTION("undivided and clipped") {
    const auto found = advantages(rewards, prompts, {.spread = Spread::kNone, .clip = 25}, seen);
    CHECK(torch::equal(found.values, torch::tensor({-1.F, 0.F, 1.F, -20.F, -10.F, 25.F})));
  }
}

TEST_CASE("advantages of equal rewards are exactly 0 and their groups are left out",
          "[rl][advantage]") {
  const auto size = GENERATE(1, 2, 3, 7, 13, 24, 64);
  const auto baseline = GENERATE(Baseline::kGroup, Baseline::kBuffer, Baseline::kBatch);
  const auto spread = GENERATE(Spread::kSame, Spread::kBatch);
  PromptRewards seen;
  const auto found =
      advantages(torch::full({2 * size}, 0.7F), groups_of(2, size),
                 {.baseline = baseline, .spread = spread, .epsilon = 1e-8, .buffer_min = 4}, seen);
  CHECK(found.values.abs().max().item<float>() == 0);
  CHECK(found.rows.numel() == 0);
  CHECK(found.equal_share == 1);
}

TEST_CASE("advantages leave out only groups of equal rewards, and none on request",
          "[rl][advantage]") {
  PromptRewards seen;
  const auto rewards = torch::tensor({0.5F, 0.5F, 0.1F, 0.4F});
  const auto found = advantages(rewards, groups_of(2, 2), {}, seen);
  CHECK(torch::equal(found.rows, torch::tensor({2, 3}, torch::kLong)));
  CHECK(found.equal_share == 0.5);
  CHECK(advantages(rewards, groups_of(2, 2), {.drop_equal = false}, seen).rows.numel() == 4);
}

TEST_CASE("advantages against a prompt's buffer use the round until there are enough rewards",
          "[rl][advantage]") {
  PromptRewards seen;
  const rahf::rl::AdvantageOptions options{.baseline = Baseline::kBuffer,
                                           .epsilon = 1e-6,
                                           .buffer_size = 3,
                                           .buffer_min = 3,
                                           .drop_equal = false};
  const rahf::Prompts two = {{"a"}, {"b"}};
  const auto first = advantages(torch::tensor({0.F, 1.F}), two, options, seen);
  CHECK(first.values[1].item<float>() == Approx(0.5 / (0.5 + 1e-6)));
  advantages(torch::tensor({2.F, 1.F}), two, options, seen);

  // "a" has 0, 2 and 4: mean 2, std sqrt(8/3). "b" has 1, 1 and 1.
  const auto third = advantages(torch::tensor({4.F, 1.F}), two, options, seen);
  CHECK(third.values[0].item<float>() == Approx(2 / (std::sqrt(8. / 3) + 1e-6)));
  CHECK(third.values[1].item<float>() == 0);

  PromptRewards loaded;
  loaded.load_state(seen.state());
  const auto next = torch::tensor({6.F, 2.F});
  CHECK(torch::equal(advantages(next, two, options, loaded).values,
                     advantages(next, two, options, seen).values));
  CHECK(loaded.of("a") == std::deque<double>{2, 4, 6});
}

TEST_CASE("advantages of several rewards do not depend on their scales", "[rl][advantage]") {
  const auto rewards = torch::tensor({{1.F, 5.F}, {2.F, 4.F}, {3.F, 0.F}});
  std::vector<PromptRewards> seen(2);
  const rahf::rl::AdvantageOptions options{.epsilon = 1e-12};
  const auto plain = advantages(rewards, {1, 0.5}, groups_of(1, 3), options, seen);
  const auto scaled =
      advantages(rewards * torch::tensor({1.F, 100.F}), {1, 0.5}, groups_of(1, 3), options, seen);
  CHECK(torch::allclose(plain.values, scaled.values, 1e-6));
  PromptRewards one;
  const auto own = advantages(rewards.select(1, 0), groups_of(1, 3), options, one).values +
                   0.5 * advantages(rewards.select(1, 1), groups_of(1, 3), options, one).values;
  CHECK(torch::allclose(plain.values, own, 1e-6));
}

TEST_CASE("advantages refuse rewards that are not finite or not one a picture", "[rl][advantage]") {
  PromptRewards seen;
  const auto nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_MATCHES(advantages(torch::tensor({1.F, nan}), groups_of(1, 2), {}, seen),
                       rahf::NonFiniteError, Says("got nan for picture 1 of prompt 'prompt 0'"));
  CHECK_THROWS_AS(advantages(torch::ones({3}), groups_of(1, 2), {}, seen), rahf::ShapeError);
  CHECK_THROWS_MATCHES(advantages(torch::ones({2}), groups_of(1, 2), {.clip = 0}, seen),
                       rahf::ConfigError, Says("AdvantageOptions.clip = 0, must be > 0"));
}
