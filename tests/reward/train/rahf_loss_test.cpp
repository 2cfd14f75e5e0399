#include "rahf/reward/train/rahf_loss.h"

#include <torch/autograd.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "rahf/core/train/optimisation.h"
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

/// The terms of a batch by name, and their weighted sum.
struct Loss {
  train::LossTerms terms;
  torch::Tensor total;

  const train::LossTerm& term(const std::string& name) const {
    for (const auto& one : terms) {
      if (one.name == name) return one;
    }
    throw Error("no term " + name);
  }
  bool has(const std::string& name) const {
    return std::any_of(terms.begin(), terms.end(), [&](const auto& t) { return t.name == name; });
  }
  double mean(const std::string& name) const {
    return term(name).sum.item<double>() / term(name).count;
  }
};

Loss loss_of(RahfModel model, const Batch& batch, const RahfLossOptions& options,
             std::uint64_t seed = 1) {
  const PromptCodec codec(tiny_tokenizer());
  const CaptionStream captions(batch.prompts, options.caption);
  std::mt19937_64 engine(seed);
  const auto tasks = rahf_tasks(model->options().variant, codec, batch, options, &captions, engine);
  Loss loss{rahf_loss(*model, codec, batch, tasks, options), {}};
  loss.total = train::loss_share(loss.terms, tasks.counts);
  return loss;
}

Loss loss_of(Variant variant, const RahfLossOptions& options, std::uint64_t seed = 1) {
  torch::manual_seed(8);
  return loss_of(RahfModel(tiny_rahf_options(variant)), toy_batch(), options, seed);
}

Batch rows(const Batch& batch, std::int64_t first, std::int64_t count) {
  const auto some = [&](const auto& all) {
    return std::decay_t<decltype(all)>(all.begin() + first, all.begin() + first + count);
  };
  return {batch.images.narrow(0, first, count),
          batch.scores.narrow(0, first, count),
          batch.implausibility.narrow(0, first, count),
          batch.misalignment.narrow(0, first, count),
          some(batch.prompts),
          some(batch.misaligned_words)};
}

}  // namespace

TEST_CASE("rahf_loss is the weighted sum of its parts", "[reward][rahf_loss]") {
  const RahfLossOptions options{.heatmap_weight = 2,
                                .score_weight = 3,
                                .sequence_weight = 5,
                                .word_weight = 7,
                                .caption = {.weight = 11}};
  const auto loss = loss_of(Variant::kMultiHead, options);
  CHECK(loss.terms.size() == 5);
  CHECK(loss.total.item<double>() ==
        Approx(2 * loss.mean("heatmap") + 3 * loss.mean("score") + 5 * loss.mean("sequence") +
               7 * loss.mean("word") + 11 * loss.mean("caption")));
}

TEST_CASE("rahf_loss leaves out what has no weight", "[reward][rahf_loss]") {
  const auto loss = loss_of(Variant::kMultiHead, {});
  CHECK(loss.has("sequence"));
  CHECK_FALSE(loss.has("word"));
  CHECK_FALSE(loss.has("caption"));
  const auto captions = loss_of(Variant::kMultiHead, {.heatmap_weight = 0,
                                                      .score_weight = 0,
                                                      .sequence_weight = 0,
                                                      .caption = {.weight = 1, .word_weight = 1}});
  CHECK(captions.terms.size() == 2);
}

TEST_CASE("rahf_loss of the heatmaps is the pixels' mean squared error", "[reward][rahf_loss]") {
  torch::manual_seed(8);
  RahfModel model(tiny_rahf_options(Variant::kMultiHead));
  const auto batch = toy_batch();
  const auto loss = loss_of(model, batch, {});

  RahfReward reward(model, tiny_tokenizer());
  Prompts prompts;
  for (const auto& text : batch.prompts) prompts.push_back({.text = text});
  const auto judgement = reward.judge(batch.images, prompts);
  const auto maps = ((judgement.implausibility - batch.implausibility).square().mean() +
                     (judgement.misalignment - batch.misalignment).square().mean()) /
                    2;
  CHECK(loss.mean("heatmap") == Approx(maps.item<double>()).epsilon(1e-4));
  CHECK(loss.mean("score") ==
        Approx((judgement.scores - batch.scores).square().mean().item<double>()).epsilon(1e-4));
}

TEST_CASE("rahf_loss has one gradient however a batch is cut", "[reward][rahf_loss]") {
  const auto variant = GENERATE(Variant::kMultiHead, Variant::kAugmentedPrompt);
  const RahfLossOptions options{.word_weight = 1, .caption = {.weight = 0, .word_weight = 0}};
  torch::manual_seed(8);
  RahfModel model(tiny_rahf_options(variant));
  const PromptCodec codec(tiny_tokenizer());
  const auto batch = toy_batch();
  const auto gradients = [&](std::int64_t parts) {
    const auto size = 4 / parts;
    std::vector<Batch> batches;
    std::vector<RahfTasks> tasks;
    train::LossCounts counts;
    std::mt19937_64 engine(1);
    for (std::int64_t i = 0; i < parts; ++i) {
      batches.push_back(rows(batch, i * size, size));
      tasks.push_back(rahf_tasks(variant, codec, batches.back(), options, nullptr, engine));
      for (const auto& [name, count] : tasks.back().counts) counts[name] += count;
    }
    std::vector<torch::Tensor> sums;
    for (std::int64_t i = 0; i < parts; ++i) {
      const auto loss =
          train::loss_share(rahf_loss(*model, codec, batches[i], tasks[i], options), counts);
      const auto more = torch::autograd::grad({loss}, model->parameters());
      for (std::size_t k = 0; k < more.size(); ++k) {
        if (i == 0) sums.push_back(torch::zeros_like(more[k]));
        sums[k] += more[k];
      }
    }
    return sums;
  };
  const auto whole = gradients(1), cut = gradients(4);
  for (std::size_t k = 0; k < whole.size(); ++k) {
    CAPTURE(k);
    CHECK(torch::allclose(cut[k], whole[k], 1e-4, 1e-5));
  }
}

TEST_CASE("rahf_loss scores the one-pass way on corrupted captions alone", "[reward][rahf_loss]") {
  const RahfLossOptions hiding{.caption = {.weight = 1, .corrupt_share = 0, .word_weight = 1}};
  CHECK(loss_of(Variant::kMultiHead, hiding).term("caption_word").count == 0);
  const RahfLossOptions replacing{.caption = {.weight = 1, .corrupt_share = 1, .word_weight = 1}};
  const auto loss = loss_of(Variant::kMultiHead, replacing);
  CHECK(loss.term("caption_word").count == 6);  // two pictures show all of their three words
  CHECK(loss.mean("caption_word") > 0);
}

TEST_CASE("rahf_loss with all tasks is the mean of its draws of a few", "[reward][rahf_loss]") {
  const auto all = loss_of(Variant::kAugmentedPrompt, {});
  double heatmap = 0, score = 0;
  const int draws = 60;
  for (int seed = 0; seed < draws; ++seed) {
    const auto some = loss_of(Variant::kAugmentedPrompt, {.tasks_per_picture = 3},
                              static_cast<std::uint64_t>(seed));
    heatmap += some.mean("heatmap") / draws;
    score += some.mean("score") / draws;
  }
  CHECK(std::abs(heatmap - all.mean("heatmap")) < 0.03 * all.mean("heatmap"));
  CHECK(std::abs(score - all.mean("score")) < 0.15 * all.mean("score"));
}

TEST_CASE("rahf_loss falls to almost nothing on four pictures", "[reward][rahf_loss]") {
  const auto variant = GENERATE(Variant::kMultiHead, Variant::kAugmentedPrompt);
  const RahfLossOptions options{.word_weight = 1, .heatmap_loss = HeatmapLoss::kCrossEntropy};
  torch::manual_seed(9);
  RahfModel model(tiny_rahf_options(variant));
  std::vector<OptimisedParameter> parameters;
  for (const auto& item : model->named_parameters()) {
    parameters.push_back({.name = item.key(), .value = item.value()});
  }
  train::Optimisation optimisation(
      parameters,
      {.schedule = {.learning_rate = 5e-3, .warmup = 0, .decay = train::Decay::kConstant},
       .adamw = {.weight_decay = 0}},
      300);
  Loss loss;
  for (int step = 0; step < 300; ++step) {
    loss = loss_of(model, toy_batch(), options);
    optimisation.backward(loss.total);
    optimisation.step();
  }
  CHECK(loss.mean("score") < 0.005);
  CHECK(loss.mean("sequence") < 0.05);
  CHECK(loss.mean("word") < 0.05);
}

TEST_CASE("rahf_loss names what does not fit the model", "[reward][rahf_loss][errors]") {
  RahfModel model(tiny_rahf_options(Variant::kMultiHead));
  auto batch = toy_batch();
  batch.misalignment = torch::rand({4, 8, 8});
  REQUIRE_THROWS_MATCHES(loss_of(model, batch, {}), ShapeError,
                         Says("batch.misalignment must be [B, 16, 16] Float, got [4, 8, 8]"));
  REQUIRE_THROWS_MATCHES(RahfLossOptions{.tasks_per_picture = 7}.validate(), ConfigError,
                         Says("tasks_per_picture = 7, must be in [0, 6]"));
}
