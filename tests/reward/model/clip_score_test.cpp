#include "rahf/reward/model/clip_score.h"

#include <torch/autograd.h>

#include "rahf/core/nn/clip_folder.h"
#include "rahf/reward/model/registry.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf;
using reward::ClipScoreReward;

namespace {

text::ClipTokenizer tokenizer() {
  return text::ClipTokenizer(text::bpe_vocabulary({"a", "red", "blue", "circle", "star"}),
                             {.length = 8});
}

nn::Clip model() {
  torch::manual_seed(3);
  const auto words = tokenizer();
  const nn::ClipOptions options{.text_config = {.vocab_size = words.vocab_size(),
                                                .hidden_size = 8,
                                                .intermediate_size = 16,
                                                .num_hidden_layers = 2,
                                                .num_attention_heads = 2,
                                                .max_position_embeddings = 8,
                                                .eos_token_id = words.eos_id()},
                                .vision_config = {.hidden_size = 8,
                                                  .intermediate_size = 16,
                                                  .num_hidden_layers = 1,
                                                  .num_attention_heads = 2,
                                                  .image_size = 8,
                                                  .patch_size = 4},
                                .projection_dim = 4};
  return nn::Clip(options);
}

const Prompts kPrompts = {{"a red circle"}, {"a blue star"}, {"star"}, {""}, {"red"}, {"circle"}};

}  // namespace

TEST_CASE("ClipScoreReward's alignment is the cosine of picture and prompt, or 0 below it",
          "[reward][clip]") {
  auto clip = model();
  ClipScoreReward reward(clip, tokenizer());
  const auto images = torch::rand({6, 3, 8, 8});
  const auto scores = reward.judge(images, kPrompts).scores;
  REQUIRE(scores.sizes() == at::IntArrayRef({6, 1}));
  bool below = false;
  for (std::int64_t b = 0; b < 6; ++b) {
    const auto ids = torch::tensor(tokenizer().padded(kPrompts[b].text).ids).unsqueeze(0);
    const auto text = clip->encode_text(ids)[0];
    const auto image = clip->encode_images(nn::clip_pixels(images.slice(0, b, b + 1), 8))[0];
    const auto cosine = (text.dot(image) / (text.norm() * image.norm())).item<float>();
    CHECK(scores[b][0].item<float>() == Approx(std::max(cosine, 0.F)).margin(1e-5));
    below = below || cosine < 0;
  }
  CHECK(below);
}

TEST_CASE("ClipScoreReward has a gradient to the pictures alone", "[reward][clip]") {
  auto clip = model();
  auto images = torch::rand({6, 3, 16, 16}, torch::requires_grad());  // of another size
  {  // Half of the signs are good whatever the weights are: turn the texts around if none is.
    const torch::NoGradGuard no_grad;
    const auto first = ClipScoreReward(clip, tokenizer()).judge(images, kPrompts).scores;
    if (!(first > 0).any().item<bool>()) clip->named_parameters()["text_projection.weight"].neg_();
  }
  ClipScoreReward reward(clip, tokenizer());
  const auto scores = reward.judge(images, kPrompts).scores;
  scores.sum().backward();
  const auto touched = images.grad().abs().amax({1, 2, 3}) > 0;
  CHECK(torch::equal(touched, (scores > 0).squeeze(1)));
  CHECK(touched.any().item<bool>());
  for (const auto& parameter : clip->parameters()) CHECK_FALSE(parameter.grad().defined());
}

TEST_CASE("ClipScoreReward computes what it is asked for", "[reward][clip]") {
  ClipScoreReward reward(model(), tokenizer());
  const auto images = torch::rand({1, 3, 8, 8});
  CHECK_FALSE(reward.judge(images, {{"a"}}, {.scores = false}).scores.defined());
  CHECK_FALSE(reward.judge(images, {{"a"}}).implausibility.defined());
  REQUIRE_THROWS_MATCHES(reward.judge(images, {{"a"}, {"b"}}), ShapeError,
                         Says("ClipScoreReward::judge"));
}

TEST_CASE("load_reward knows a CLIP folder by its model_type", "[reward][clip]") {
  const ScratchFolder folder;
  auto clip = model();
  nn::save_clip(clip, folder.path());
  tokenizer().save(folder.path());
  const auto loaded = reward::load_reward(folder.path());
  CHECK(loaded->score_names() == std::vector<std::string>{"alignment"});
  CHECK(loaded->input_size() == 8);
  const auto images = torch::rand({6, 3, 8, 8});
  CHECK(torch::equal(loaded->judge(images, kPrompts).scores,
                     ClipScoreReward(clip, tokenizer()).judge(images, kPrompts).scores));
}

TEST_CASE("ClipScoreReward rejects a model that is too small for its tokenizer", "[reward][clip]") {
  auto words = text::ClipTokenizer(text::bpe_vocabulary({"a"}), {.length = 9});
  REQUIRE_THROWS_MATCHES(ClipScoreReward(model(), words), ConfigError,
                         Says("must have 9 positions"));
}
