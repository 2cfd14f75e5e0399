#include "rahf/reward/model/baselines.h"

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::reward::ColouredPixelsReward;
using rahf::reward::ConstantReward;

TEST_CASE("ConstantReward says the same of every picture", "[reward][baselines]") {
  ConstantReward reward({.scores = {.1, .2, .3, .4}, .heat = {.5, .6}, .misaligned = .7});
  const auto judgement = reward.judge(torch::rand({2, 3, 4, 5}), {{"a red cat", {}}, {"", {}}});
  CHECK(judgement.scores.sizes() == torch::IntArrayRef{2, 4});
  CHECK(judgement.scores[1][3].item<float>() == .4F);
  CHECK(judgement.implausibility.eq(.5F).all().item<bool>());
  CHECK(judgement.misalignment.sizes() == torch::IntArrayRef{2, 4, 5});
  REQUIRE(judgement.words.text.at(0).size() == 3);
  CHECK(judgement.words.text[0][1] == "red");
  CHECK(
      torch::equal(judgement.words.misaligned, torch::tensor({{.7F, .7F, .7F}, {0.F, 0.F, 0.F}})));
  CHECK(judgement.words.text.at(1).empty());
}

TEST_CASE("ColouredPixelsReward marks what is not of the most frequent colour",
          "[reward][baselines]") {
  auto images = torch::full({2, 3, 4, 4}, .9);
  images[0].slice(1, 0, 1).select(0, 2) = .2;  // A yellow row.
  images[0][0][3][3] = .85;                    // Too little to count.
  images[1].slice(1, 0, 3) = .3;               // Here the other colour is the background.
  ColouredPixelsReward reward;
  const auto judgement = reward.judge(images, {{"a b", {}}, {"c", {}}});

  auto expected = torch::zeros({2, 4, 4});
  expected[0][0] = 1;
  expected[1][3] = 1;
  CHECK(torch::equal(judgement.implausibility, expected));
  CHECK(torch::equal(judgement.misalignment, expected));
  CHECK_FALSE(judgement.scores.defined());
  CHECK(judgement.words.misaligned[0][1].item<float>() == 1);
}

TEST_CASE("Baselines refuse another number of prompts than of pictures",
          "[reward][baselines][errors]") {
  REQUIRE_THROWS_MATCHES(ColouredPixelsReward().judge(torch::zeros({2, 3, 4, 4}), {{"a", {}}}),
                         rahf::ShapeError, Says("prompts must be as many as images (2), got 1"));
}
