#include "rahf/reward/train/rahf_loss.h"

#include <torch/autograd.h>

#include <cmath>

#include "rahf/core/train/adamw.h"
#include "reward/tiny_rahf.h"
#include "support/catch.h"

using namespace rahf;
using namespace rahf::reward;

namespace {

Batch toy_batch() {
  torch::manual_seed(7);
  Batch batch;
  batch.images = torch::rand({4, 3, 16, 16});
  batch.scores = torch::rand({4, 4});
  batch.implausibility = torch::rand({4, 16, 16}).gt(0.8).to(torch::kFloat);
  batch.misalignment = torch::rand({4, 16, 16}).gt(0.8).to(torch::kFloat);
  batch.prompts = {"a red circle", "a blue square", "a green circle above a red square",
                   "a red square"};
  batch.misaligned_words = {{0, 1, 0}, {0, 0, 0}, {0, 0, 0, 0, 0, 1, 1}, {0, 0, 0}};
  return batch;
}

RahfLossTerms loss_of(Variant variant, const RahfLossOptions& options, std::uint64_t seed = 1) {
  torch::manual_seed(8);
  RahfModel model(tiny_rahf_options(variant));
  const PromptCodec codec(tiny_tokenizer());
  const auto batch = toy_batch();
  const CaptionStream captions(batch.prompts, options.caption);
  std::mt19937_64 engine(seed);
  return rahf_loss(*model, codec, batch, options, &captions, engine);
}

}  // namespace

TEST_CASE("rahf_loss is the weighted sum of its parts", "[reward][rahf_loss]") {
  const RahfLossOptions options{.heatmap_weight = 2,
                                .score_weight = 3,
                                .sequence_weight = 5,
                                .word_weight = 7,
                                .caption = {.weight = 11}};
  const auto terms = loss_of(Variant::kMultiHead, options);
  const auto expected = 2 * terms.heatmap + 3 * terms.score + 5 * terms.sequence + 7 * terms.word +
                        11 * terms.caption;
  CHECK(torch::allclose(terms.total(options), expected));
  CHECK(terms.parts().size() == 5);
}

TEST_CASE("rahf_loss leaves out what has no weight", "[reward][rahf_loss]") {
  const auto terms = loss_of(Variant::kMultiHead, {});
  CHECK(terms.sequence.defined());
  CHECK_FALSE(terms.word.defined());
  CHECK_FALSE(terms.caption.defined());
}

TEST_CASE("rahf_loss of the heatmaps is the pixels' mean squared error", "[reward][rahf_loss]") {
  torch::manual_seed(8);
  RahfModel model(tiny_rahf_options(Variant::kMultiHead));
  const PromptCodec codec(tiny_tokenizer());
  const auto batch = toy_batch();
  std::mt19937_64 engine(1);
  const auto terms = rahf_loss(*model, codec, batch, {}, nullptr, engine);

  RahfReward reward(model, tiny_tokenizer());
  Prompts prompts;
  for (const auto& text : batch.prompts) prompts.push_back({.text = text});
  const auto judgement = reward.judge(batch.images, prompts);
  const auto maps = ((judgement.implausibility - batch.implausibility).square().mean() +
                     (judgement.misalignment - batch.misalignment).square().mean()) /
                    2;
  CHECK(torch::allclose(terms.heatmap, maps, 1e-4, 1e-6));
  CHECK(
      torch::allclose(terms.score, (judgement.scores - batch.scores).square().mean(), 1e-4, 1e-6));
}

TEST_CASE("rahf_loss with all tasks is the mean of its draws of a few", "[reward][rahf_loss]") {
  const auto all = loss_of(Variant::kAugmentedPrompt, {});
  double heatmap = 0, score = 0;
  const int draws = 60;
  for (int seed = 0; seed < draws; ++seed) {
    const auto some = loss_of(Variant::kAugmentedPrompt, {.tasks_per_picture = 3},
                              static_cast<std::uint64_t>(seed));
    heatmap += some.heatmap.item<double>() / draws;
    score += some.score.item<double>() / draws;
  }
  CHECK(std::abs(heatmap - all.heatmap.item<double>()) < 0.03 * all.heatmap.item<double>());
  CHECK(std::abs(score - all.score.item<double>()) < 0.15 * all.score.item<double>());
}

TEST_CASE("rahf_loss falls to almost nothing on four pictures", "[reward][rahf_loss]") {
  const auto variant = GENERATE(Variant::kMultiHead, Variant::kAugmentedPrompt);
  const RahfLossOptions options{.word_weight = 1, .heatmap_loss = HeatmapLoss::kCrossEntropy};
  torch::manual_seed(9);
  RahfModel model(tiny_rahf_options(variant));
  const PromptCodec codec(tiny_tokenizer());
  const auto batch = toy_batch();
  std::vector<OptimisedParameter> parameters;
  for (const auto& item : model->named_parameters()) {
    parameters.push_back({.name = item.key(), .value = item.value()});
  }
  AdamW optimiser(parameters, {.weight_decay = 0});
  std::mt19937_64 engine(1);
  RahfLossTerms terms;
  for (int step = 0; step < 300; ++step) {
    terms = rahf_loss(*model, codec, batch, options, nullptr, engine);
    auto gradients =
        torch::autograd::grad({terms.total(options)}, optimiser.values(), {}, {}, false, true);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].defined()) gradients[i] = torch::zeros_like(optimiser.values()[i]);
    }
    clip_gradients(gradients, 1);
    optimiser.step(gradients, 5e-3);
  }
  CHECK(terms.score.item<double>() < 0.005);
  CHECK(terms.sequence.item<double>() < 0.05);
  CHECK(terms.word.item<double>() < 0.05);
}

TEST_CASE("rahf_loss names what does not fit the model", "[reward][rahf_loss][errors]") {
  RahfModel model(tiny_rahf_options(Variant::kMultiHead));
  const PromptCodec codec(tiny_tokenizer());
  auto batch = toy_batch();
  batch.misalignment = torch::rand({4, 8, 8});
  std::mt19937_64 engine(1);
  REQUIRE_THROWS_MATCHES(rahf_loss(*model, codec, batch, {}, nullptr, engine), ShapeError,
                         Says("batch.misalignment must be [B, 16, 16] Float, got [4, 8, 8]"));
  REQUIRE_THROWS_MATCHES(RahfLossOptions{.tasks_per_picture = 7}.validate(), ConfigError,
                         Says("tasks_per_picture = 7, must be in [0, 6]"));
}
