#include "rahf/core/check_reward.h"

#include "rahf/core/error.h"
#include "reward/toy_reward.h"
#include "support/catch.h"

using namespace rahf;

namespace {

/// The toy, but for one pixel of one map.
class OffReward : public ToyReward {
 public:
  explicit OffReward(double by) : by_(by) {}
  Judgement judge(const torch::Tensor& images, const Prompts& prompts, const Ask& ask) override {
    auto judgement = ToyReward::judge(images, prompts, ask);
    auto change = torch::zeros_like(judgement.misalignment);
    change[1][0][2] = by_;
    judgement.misalignment = judgement.misalignment + change;
    return judgement;
  }

 private:
  double by_;
};

const Prompts kPrompts = {{.text = "a cat"}, {.text = "no dog"}};

}  // namespace

TEST_CASE("CheckReward answers as its first reward, gradient included, where both agree",
          "[core][check_reward]") {
  OffReward reward(.25);
  ToyReward reference;
  CheckReward checked(reward, reference, .3);
  const auto images = torch::full({2, 3, 4, 4}, .5).requires_grad_(true);
  const auto judgement = checked.judge(images, kPrompts);
  CHECK(judgement.misalignment[1][0][2].item<float>() == .75F);
  CHECK(judgement.scores.requires_grad());
  CHECK(checked.largest() == .25);
  CHECK(checked.score_names() == reward.score_names());
}

TEST_CASE("CheckReward names the output and picture that differ", "[core][check_reward][errors]") {
  OffReward reward(.25);
  ToyReward reference;
  CheckReward checked(reward, reference, .2);
  REQUIRE_THROWS_MATCHES(
      checked.judge(torch::full({2, 3, 4, 4}, .5), kPrompts), Error,
      Says("misalignment must be within 0.2 of the reference's 0.5, got 0.75 for picture 1"));
  REQUIRE_THROWS_MATCHES(CheckReward(reward, reference, -1), ConfigError,
                         Says("tolerance must be >= 0, got -1"));
}

TEST_CASE("CheckReward takes NaN for a difference", "[core][check_reward][errors]") {
  OffReward reward(std::numeric_limits<double>::quiet_NaN());
  ToyReward reference;
  CheckReward checked(reward, reference, 1e9);
  REQUIRE_THROWS_MATCHES(checked.judge(torch::zeros({2, 3, 4, 4}), kPrompts), Error,
                         Says("got nan for picture 1"));
}
