#include "rahf/generators/text_condition.h"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include "rahf/core/error.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf;
using generators::TextCondition;
using generators::TextConditionOptions;

namespace {

constexpr std::int64_t kLength = 8, kWidth = 8;

TextCondition make(TextConditionOptions options = {},
                   nn::ClipHead head = nn::ClipHead::kProjection) {
  torch::manual_seed(1);
  text::ClipTokenizer tokenizer(text::bpe_vocabulary({"a", "red", "blue", "circle", "star"}),
                                {.length = kLength});
  const nn::ClipTextOptions model{.vocab_size = tokenizer.vocab_size(),
                                  .hidden_size = kWidth,
                                  .intermediate_size = 16,
                                  .num_hidden_layers = 2,
                                  .num_attention_heads = 2,
                                  .max_position_embeddings = kLength,
                                  .eos_token_id = tokenizer.eos_id(),
                                  .projection_dim = 6};
  return {std::move(tokenizer), nn::ClipText(model, head), std::move(options)};
}

}  // namespace

TEST_CASE("TextCondition gives the states of the layer asked for", "[generators][text]") {
  auto last = make(), before = make({.layer = generators::TextLayer::kPenultimate});
  const auto ids = torch::tensor(last.tokenizer().padded("a red circle").ids).unsqueeze(0);
  const auto expected = last.encoder()(ids);
  const auto states = last.encode({{"a red circle"}});
  CHECK(torch::equal(states.states, expected.last));
  CHECK(torch::equal(states.pooled, expected.embeds));
  CHECK(torch::equal(before.encode({{"a red circle"}}).states, expected.penultimate));
  auto plain = make({}, nn::ClipHead::kNone);
  CHECK(plain.encode({{""}, {"a"}}).pooled.sizes() == at::IntArrayRef({2, kWidth}));
}

TEST_CASE("TextCondition's states do not depend on the batch or on the cache",
          "[generators][text]") {
  auto condition = make({.cache_size = GENERATE(0u, 1u, 100u)});
  const auto alone = condition.encode({{"a red circle"}}).states;
  const auto among = condition.encode({{""}, {"a red circle"}, {"a blue star"}, {"a red circle"}});
  CHECK(torch::equal(among.states[1], alone[0]));
  CHECK(torch::equal(among.states[3], alone[0]));
  CHECK(torch::equal(condition.encode({{"a red circle"}}).states, alone));
}

TEST_CASE("TextCondition encodes a text once", "[generators][text]") {
  auto condition = make();
  const auto before = condition.encode({{"a"}}).states;
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : condition.encoder()->parameters()) parameter.zero_();
  }
  CHECK(torch::equal(condition.encode({{"a"}}).states, before));
  CHECK(condition.encode({{"red"}}).states.abs().max().item<float>() == 0);
}

TEST_CASE("TextCondition scales the states of weighted words alone", "[generators][text]") {
  auto condition = make();
  const auto plain = condition.encode({{"a red circle"}, {"a star"}});
  const auto ones = condition.encode({{"a red circle", {1, 1, 1}}, {"a star"}});
  CHECK(torch::equal(ones.states, plain.states));
  const auto weighted = condition.encode({{"a red circle", {1, 0.5, 2}}, {"a star"}});
  auto expected = plain.states.clone();
  expected[0][2] *= 0.5;  // start, a, red, circle
  expected[0][3] *= 2;
  CHECK(torch::equal(weighted.states, expected));
  CHECK(torch::equal(weighted.pooled, plain.pooled));
}

TEST_CASE("TextCondition weighs every token of a word and none of what is between",
          "[generators][text]") {
  auto condition = make();
  const std::string text = "xy, a";  // start, x, y, comma, a
  const auto plain = condition.encode({{text}}).states;
  const auto weighted = condition.encode({{text, {3, 2}}}).states;
  auto expected = plain.clone();
  expected[0].slice(0, 1, 3) *= 3;
  expected[0][4] *= 2;
  CHECK(torch::equal(weighted, expected));
  REQUIRE_THROWS_MATCHES(condition.encode({{text, {1}}}), ConfigError,
                         Says("word_weights must be one per word, got 1 for the 2 of \"xy, a\""));
}

TEST_CASE("TextCondition warns once per text of what is cut off", "[generators][text]") {
  std::vector<std::string> warnings;
  auto condition =
      make({.cache_size = 0, .warn = [&](const std::string& text) { warnings.push_back(text); }});
  condition.encode({{"a red circle"}});
  CHECK(warnings.empty());
  const std::string text = "a red circle a blue star a red star";
  const auto states = condition.encode({{text}, {text}}).states;
  condition.encode({{text, {1, 1, 1, 1, 1, 1, 1, 1, 2}}});  // a weight of a word that was cut
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].find("cut off: \"a red star\"") != std::string::npos);
  CHECK(torch::equal(states[0], condition.encode({{"a red circle a blue star"}}).states[0]));
}

TEST_CASE("TextCondition has a gradient path only when it is trainable", "[generators][text]") {
  auto frozen = make(), trainable = make({.trainable = true});
  CHECK_FALSE(frozen.encode({{"a"}}).states.requires_grad());
  const auto states = trainable.encode({{"a"}, {"a red star"}}).states;
  REQUIRE(states.requires_grad());
  CHECK(torch::allclose(states, frozen.encode({{"a"}, {"a red star"}}).states, 1e-5, 1e-6));
}

TEST_CASE("TextCondition's states can be trained with after inference", "[generators][text]") {
  auto condition = make();
  {
    const c10::InferenceMode inference;
    condition.encode({{"a"}});
  }
  auto weight = torch::ones({kWidth}, torch::requires_grad());
  (condition.encode({{"a"}}).states * weight).sum().backward();
  CHECK(weight.grad().defined());
}

TEST_CASE("TextCondition is restored from a pipeline folder", "[generators][text]") {
  const ScratchFolder folder;
  auto condition = make();
  condition.save(folder.path());
  auto loaded = TextCondition::load(folder.path(), torch::kCPU);
  const Prompts prompts = {{"a red circle"}, {""}};
  CHECK(torch::equal(loaded.encode(prompts).states, condition.encode(prompts).states));
  CHECK(torch::equal(loaded.encode(prompts).pooled, condition.encode(prompts).pooled));
}

TEST_CASE("TextCondition rejects an encoder that is too small for the tokenizer",
          "[generators][text]") {
  auto good = make();
  auto options = good.encoder()->options();
  --options.max_position_embeddings;
  REQUIRE_THROWS_MATCHES(TextCondition(good.tokenizer(), nn::ClipText(options)), ConfigError,
                         Says("must have positions for the tokenizer's 8, got 7"));
  options = good.encoder()->options();
  options.vocab_size = 100;
  REQUIRE_THROWS_MATCHES(TextCondition(good.tokenizer(), nn::ClipText(options)), ConfigError,
                         Says("must have rows for the tokenizer's"));
}
