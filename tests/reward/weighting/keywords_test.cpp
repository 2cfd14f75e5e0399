#include "rahf/reward/weighting/keywords.h"

#include <torch/autograd.h>
#include <torch/types.h>

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::Prompts;
using namespace rahf::weighting;  // NOLINT

namespace {

const Prompts kPrompts = {{"two red stars above a circle", {}}, {"a cat", {}}};

// "red", "stars" and "circle" are missed in the first.
torch::Tensor misaligned() {
  return torch::tensor({{0.1F, 0.9F, 0.8F, 0.0F, 0.2F, 0.6F}, {0.1F, 0.2F, 0.9F, 0.F, 0.F, 0.F}});
}

}  // namespace

TEST_CASE("emphasise_missed raises the weights of missed words alone", "[reward][keywords]") {
  const auto prompts = emphasise_missed(kPrompts, misaligned(), {.strength = 0.5});
  CHECK(prompts[0].word_weights == std::vector<float>{1, 1.5, 1.5, 1, 1, 1.5});
  CHECK(prompts[1].word_weights == std::vector<float>{1, 1});
  CHECK(prompts[0].text == kPrompts[0].text);
}

TEST_CASE("emphasise_missed multiplies weights that are there, and does nothing at strength 0",
          "[reward][keywords]") {
  const Prompts weighted = {{"a cat", {2, 3}}};
  const auto heat = torch::tensor({{0.F, 1.F}});
  CHECK(emphasise_missed(weighted, heat, {.strength = 1})[0].word_weights ==
        std::vector<float>{2, 6});
  CHECK(emphasise_missed(kPrompts, misaligned(), {.strength = 0})[0].word_weights.empty());
}

TEST_CASE("repeat_missed says runs of missed words again", "[reward][keywords]") {
  const auto prompts = repeat_missed(kPrompts, misaligned(), {});
  CHECK(prompts[0].text == "two red stars above a circle, red stars, circle");
  CHECK(prompts[1].text == "a cat");
}

TEST_CASE("emphasise_missed refuses a judgement of fewer words", "[reward][keywords]") {
  CHECK_THROWS_MATCHES(emphasise_missed(kPrompts, torch::zeros({2, 3}), {.strength = 1}),
                       rahf::ShapeError, Says("misaligned has 3 words, prompt 0 has 6"));
}

TEST_CASE("keyword_reward is one minus the mean over words that exist", "[reward][keywords]") {
  const auto mask =
      torch::tensor({{true, true, true}, {true, false, false}, {false, false, false}});
  auto value = torch::tensor({{0.3F, 0.F, 0.6F}, {0.5F, 9.F, 9.F}, {9.F, 9.F, 9.F}});
  value.requires_grad_();
  const auto reward = keyword_reward(value, mask);
  CHECK(torch::allclose(reward, torch::tensor({0.7F, 0.5F, 1.F})));
  const auto gradient = torch::autograd::grad({reward.sum()}, {value})[0];
  CHECK(torch::allclose(gradient[0], torch::full({3}, -1.F / 3)));
  CHECK(torch::equal(gradient[1], torch::tensor({-1.F, 0.F, 0.F})));
}

TEST_CASE("PromptCurriculum draws what was missed more often", "[reward][keywords]") {
  PromptCurriculum curriculum(4, 3, 0);
  CHECK(torch::allclose(curriculum.probabilities(), torch::full({4}, 0.25F)));
  curriculum.observe(torch::tensor({2}), torch::tensor({1.F}));
  // By hand: weights 1, 1, 4, 1.
  CHECK(curriculum.probabilities()[2].item<float>() == Approx(4.0 / 7));

  PromptCurriculum other(4, 3, 0);
  other.load_state(curriculum.state());
  CHECK(torch::equal(other.probabilities(), curriculum.probabilities()));
  CHECK_THROWS_MATCHES(curriculum.observe(torch::tensor({4}), torch::tensor({1.F})),
                       rahf::ShapeError, Says("rows must be in [0, 4), got 4"));

  PromptCurriculum neutral(4, 0);
  neutral.observe(torch::tensor({1}), torch::tensor({1.F}));
  CHECK(torch::equal(neutral.probabilities(), torch::full({4}, 0.25F)));
}
