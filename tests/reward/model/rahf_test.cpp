#include "rahf/reward/model/rahf.h"

#include <torch/autograd.h>

#include <cmath>
#include <functional>

#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/resize.h"
#include "rahf/core/prompt_error.h"
#include "rahf/core/words.h"
#include "rahf/reward/model/registry.h"
#include "reward/tiny_rahf.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf;
using namespace rahf::reward;

namespace {

std::unique_ptr<RahfReward> tiny_reward(Variant variant,
                                        DecoderContext context = DecoderContext::kText) {
  torch::manual_seed(11);
  auto options = tiny_rahf_options(variant);
  options.decoder_context = context;
  return std::make_unique<RahfReward>(RahfModel(options), tiny_tokenizer());
}

const Prompts kPrompts = {{.text = "a red circle above a blue square"}, {.text = "a green circle"}};

torch::Tensor stacked_words(const Judgement& judgement) {
  return judgement.words.misaligned.masked_select(judgement.words.mask);
}

}  // namespace

TEST_CASE("RahfReward judges scores, maps and words in both variants", "[reward][rahf]") {
  const auto variant = GENERATE(Variant::kMultiHead, Variant::kAugmentedPrompt);
  const auto context = GENERATE(DecoderContext::kText, DecoderContext::kAll);
  const auto reward = tiny_reward(variant, context);
  const auto judgement = reward->judge(torch::rand({2, 3, 16, 16}), kPrompts);

  CHECK(judgement.scores.sizes() == torch::IntArrayRef({2, 4}));
  CHECK(judgement.implausibility.sizes() == torch::IntArrayRef({2, 16, 16}));
  CHECK(judgement.misalignment.sizes() == torch::IntArrayRef({2, 16, 16}));
  REQUIRE(judgement.words.text.size() == 2);
  for (std::size_t b = 0; b < 2; ++b) {
    CHECK(judgement.words.text[b] == split_words(kPrompts[b].text));
  }
  CHECK(judgement.words.misaligned.sizes() == torch::IntArrayRef({2, 7}));
  CHECK(judgement.words.misaligned[1].slice(0, 3).eq(0).all().item<bool>());  // no such words
  CHECK_FALSE(judgement.written.defined());
  for (const auto& part : {judgement.scores, judgement.implausibility, judgement.misalignment,
                           stacked_words(judgement)}) {
    CHECK(part.min().item<float>() >= 0);
    CHECK(part.max().item<float>() <= 1);
  }
}

TEST_CASE("RahfReward computes what is asked for, the same as when all is", "[reward][rahf]") {
  const auto reward = tiny_reward(GENERATE(Variant::kMultiHead, Variant::kAugmentedPrompt));
  const auto images = torch::rand({2, 3, 16, 16});
  const auto all = reward->judge(images, kPrompts);
  const auto scores = reward->judge(images, kPrompts, {.maps = false, .words = false});
  CHECK_FALSE(scores.implausibility.defined());
  CHECK(scores.words.text.empty());
  CHECK(torch::allclose(scores.scores, all.scores, 0, 1e-5));
  const auto maps = reward->judge(images, kPrompts, {.scores = false, .words = false});
  CHECK_FALSE(maps.scores.defined());
  CHECK(torch::allclose(maps.misalignment, all.misalignment, 0, 1e-5));
  const Ask written_alone{.scores = false, .maps = false, .words = false, .written = true};
  const auto written = reward->judge(images, kPrompts, written_alone).written;
  CHECK(torch::equal(written, reward->judge(images, kPrompts, {.written = true}).written));
  const auto words = reward->judge(images, kPrompts, {.scores = false, .maps = false});
  CHECK(torch::allclose(stacked_words(words), stacked_words(all), 0, 1e-5));
}

TEST_CASE("RahfReward judges a picture alike alone and beside a longer prompt", "[reward][rahf]") {
  const auto reward = tiny_reward(GENERATE(Variant::kMultiHead, Variant::kAugmentedPrompt),
                                  GENERATE(DecoderContext::kText, DecoderContext::kAll));
  const auto images = torch::rand({2, 3, 16, 16});
  const auto together = reward->judge(images, kPrompts);
  const auto alone = reward->judge(images.slice(0, 1), {kPrompts[1]});
  CHECK(torch::allclose(alone.scores[0], together.scores[1], 0, 1e-5));
  CHECK(torch::allclose(alone.implausibility[0], together.implausibility[1], 0, 1e-5));
  CHECK(torch::allclose(alone.misalignment[0], together.misalignment[1], 0, 1e-5));
  CHECK(torch::allclose(stacked_words(alone), stacked_words(together).slice(0, 7), 0, 1e-5));
}

TEST_CASE("RahfReward sees the prompt and its order", "[reward][rahf]") {
  const auto reward = tiny_reward(Variant::kMultiHead);
  const auto images = torch::rand({1, 3, 16, 16});
  const auto one = reward->judge(images, {{.text = "a red circle above a blue square"}});
  const auto other = reward->judge(images, {{.text = "a blue circle above a red square"}});
  CHECK_FALSE(torch::allclose(one.scores, other.scores, 0, 1e-6));
  const auto same = reward->judge(images, {{.text = "a red circle, above a blue square!"}});
  CHECK(torch::equal(one.scores, same.scores));  // punctuation is not part of the clean prompt
}

TEST_CASE("RahfReward has the gradient of finite differences in the pixels", "[reward][rahf]") {
  const auto reward = tiny_reward(GENERATE(Variant::kMultiHead, Variant::kAugmentedPrompt));
  reward->model().to(torch::kDouble);
  torch::manual_seed(3);
  const auto images = torch::rand({1, 3, 16, 16}, torch::kDouble);
  const Prompts prompts = {kPrompts[0]};
  using Part = std::function<torch::Tensor(const Judgement&)>;
  const std::vector<std::pair<const char*, Part>> parts = {
      {"scores", [](const Judgement& j) { return j.scores; }},
      {"implausibility", [](const Judgement& j) { return j.implausibility; }},
      {"misalignment", [](const Judgement& j) { return j.misalignment; }},
      {"words", stacked_words}};
  for (const auto& [name, part] : parts) {
    CAPTURE(name);
    const auto value = [&](const torch::Tensor& x) {
      const auto flat = part(reward->judge(x, prompts)).flatten().to(torch::kDouble);
      return (flat * torch::arange(1, flat.numel() + 1, torch::kDouble)).sum() /
             static_cast<double>(flat.numel());
    };
    const auto x = images.clone().requires_grad_(true);
    const auto gradient = torch::autograd::grad({value(x)}, {x})[0];
    CHECK(gradient.abs().max().item<double>() > 1e-6);
    torch::manual_seed(4);
    for (int i = 0; i < 3; ++i) {
      const auto direction = torch::randn_like(images);
      const double h = 1e-7;
      const auto ahead = value(images + h * direction), behind = value(images - h * direction);
      const double numeric = (ahead - behind).item<double>() / (2 * h);
      const double analytic = (gradient * direction).sum().item<double>();
      CAPTURE(numeric, analytic);
      CHECK(std::abs(numeric - analytic) < 1e-4 * std::abs(analytic) + 1e-6);
    }
  }
}

TEST_CASE("RahfReward leaves no gradient on its weights", "[reward][rahf]") {
  const auto reward = tiny_reward(Variant::kMultiHead);
  CHECK_FALSE(reward->judge(torch::rand({2, 3, 16, 16}), kPrompts).scores.requires_grad());
}

TEST_CASE("RahfReward gives maps at the size of the pictures", "[reward][rahf]") {
  const auto reward = tiny_reward(Variant::kMultiHead);
  const auto images = torch::rand({2, 3, 24, 40});
  const auto judgement = reward->judge(images, kPrompts);
  CHECK(judgement.implausibility.sizes() == torch::IntArrayRef({2, 24, 40}));
  const auto resized = reward->judge(io::resize(images, 16, 16), kPrompts);
  CHECK(torch::allclose(judgement.scores, resized.scores, 0, 1e-5));
}

TEST_CASE("RahfReward decodes as the one-pass way says where that is sure", "[reward][rahf]") {
  // Untrained, the decoder writes no prompt: teach it to copy and to mark "red".
  torch::manual_seed(5);
  RahfModel model(tiny_rahf_options(Variant::kMultiHead));
  const PromptCodec codec(tiny_tokenizer());
  const std::vector<std::vector<std::string>> prompts = {{"a", "red", "circle"},
                                                         {"a", "blue", "square"},
                                                         {"a", "red", "square"},
                                                         {"a", "green", "circle"}};
  const auto images = torch::rand({4, 3, 16, 16});
  std::vector<std::vector<std::int64_t>> texts, targets;
  for (const auto& words : prompts) {
    texts.push_back(codec.encoder_ids(words));
    targets.push_back(
        codec.target_ids(words, {0, static_cast<std::uint8_t>(words[1] == "red"), 0}));
  }
  const auto target = codec.pad(targets);
  std::vector<torch::Tensor> parameters = model->parameters();
  for (int step = 0; step < 200; ++step) {
    const auto encoded = model->encode(model->image_tokens(images), codec.pad(texts));
    const auto loss = at::cross_entropy_loss(model->token_logits(encoded, target.ids).flatten(0, 1),
                                             target.ids.masked_fill(~target.mask, -100).flatten());
    const auto gradients = torch::autograd::grad({loss}, parameters, {}, {}, false, true);
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (gradients[i].defined()) parameters[i].sub_(0.01 * gradients[i].sign());
    }
  }
  RahfReward reward(model, tiny_tokenizer());
  Prompts asked;
  for (const auto& words : prompts) asked.push_back({.text = join_words(words)});
  const auto judgement =
      reward.judge(images, asked, {.scores = false, .maps = false, .written = true});
  CHECK(judgement.written.sizes() == torch::IntArrayRef({4, 3}));
  int sure = 0;
  for (std::size_t b = 0; b < prompts.size(); ++b) {
    for (std::size_t w = 0; w < 3; ++w) {
      const auto p = judgement.words.misaligned[b][w].item<float>();
      CAPTURE(b, w, p);
      const bool written = judgement.written[b][w].item<bool>();
      CHECK(written == (prompts[b][w] == "red"));
      if (p > 0.1 && p < 0.9) continue;
      ++sure;
      CHECK(written == (p > 0.5));
    }
  }
  CHECK(sure >= 8);
}

TEST_CASE("a saved RAHF judges as before it was saved", "[reward][rahf]") {
  const ScratchFolder scratch;
  const auto reward = tiny_reward(GENERATE(Variant::kMultiHead, Variant::kAugmentedPrompt));
  const auto images = torch::rand({2, 3, 16, 16});
  const auto before = reward->judge(images, kPrompts);
  save_rahf(scratch / "model", reward->model(), reward->codec().tokenizer(), {{"seed", "11"}});
  const auto loaded = load_reward(scratch / "model");
  CHECK(torch::equal(loaded->judge(images, kPrompts).scores, before.scores));
  CHECK(loaded->input_size() == 16);
  CHECK(io::read_safetensors(scratch / "model/model.safetensors").metadata.at("seed") == "11");
}

TEST_CASE("load_reward takes the default of an option that a folder is older than",
          "[reward][rahf]") {
  const ScratchFolder scratch;
  const auto reward = tiny_reward(Variant::kMultiHead);
  save_rahf(scratch / "model", reward->model(), reward->codec().tokenizer(), {});
  auto config = io::read_file(scratch / "model/config.json");
  const auto line = config.find("\"heatmap.initial_logit\"");
  REQUIRE(line != std::string::npos);
  config.erase(line, config.find('\n', line) - line);
  io::write_atomically(scratch / "model/config.json", config);
  const auto loaded = RahfReward::load(scratch / "model");
  CHECK(loaded->model().options().heatmap.initial_logit == RahfOptions().heatmap.initial_logit);
}

TEST_CASE("load_reward takes a folder with an option that is gone, where it changed nothing",
          "[reward][rahf]") {
  const ScratchFolder scratch;
  const auto reward = tiny_reward(Variant::kMultiHead);
  save_rahf(scratch / "model", reward->model(), reward->codec().tokenizer(), {});
  const auto config = io::read_file(scratch / "model/config.json");
  const auto with_eps = [&](const char* value) {
    auto text = config;
    text.insert(text.find("\"variant\""), std::string("\"heatmap.norm_eps\": ") + value + ", ");
    io::write_atomically(scratch / "model/config.json", text);
  };
  with_eps("0");
  CHECK(load_reward(scratch / "model")->input_size() == 16);
  with_eps("0.001");
  REQUIRE_THROWS_MATCHES(load_reward(scratch / "model"), CheckpointError,
                         Says("heatmap.norm_eps must be 0, got 0.001"));
}

TEST_CASE("load_reward says what is wrong with a folder", "[reward][rahf][errors]") {
  const ScratchFolder scratch;
  const auto reward = tiny_reward(Variant::kMultiHead);
  const auto folder = scratch / "model";
  save_rahf(folder, reward->model(), reward->codec().tokenizer(), {});
  const auto config = io::read_file(folder / "config.json");
  const auto replace = [&](const std::string& from, const std::string& to) {
    auto text = config;
    text.replace(text.find(from), from.size(), to);
    io::write_atomically(folder / "config.json", text);
  };
  SECTION("no such folder") {
    REQUIRE_THROWS_MATCHES(load_reward(scratch / "none"), Error, Says("none/config.json"));
  }
  SECTION("another architecture") {
    replace("RahfModel", "OtherModel");
    REQUIRE_THROWS_MATCHES(load_reward(folder), CheckpointError,
                           Says("architecture must be one of RahfModel, clip, ColourShare, "
                                "Command, TorchScript, got 'OtherModel'"));
  }
  SECTION("an option that is not known") {
    replace("\"variant\"", "\"varian\"");
    REQUIRE_THROWS_MATCHES(load_reward(folder), CheckpointError, Says("unknown option varian"));
  }
  SECTION("a size that the weights do not have") {
    replace("\"t5.d_ff\": 24", "\"t5.d_ff\": 32");
    REQUIRE_THROWS_MATCHES(load_reward(folder), CheckpointError,
                           Says("t5.encoder.block.0.layer.1.DenseReluDense.wi.weight"));
  }
  SECTION("a broken config") {
    io::write_atomically(folder / "config.json", config.substr(0, 40));
    REQUIRE_THROWS_MATCHES(load_reward(folder), CheckpointError, Says("not JSON"));
  }
}

TEST_CASE("RahfReward names the argument that does not fit", "[reward][rahf][errors]") {
  const auto reward = tiny_reward(Variant::kMultiHead);
  REQUIRE_THROWS_MATCHES(reward->judge(torch::rand({2, 1, 16, 16}), kPrompts), ShapeError,
                         Says("images must be [B, 3, H, W], got [2, 1, 16, 16]"));
  REQUIRE_THROWS_MATCHES(reward->judge(torch::rand({3, 3, 16, 16}), kPrompts), ShapeError,
                         Says("prompts must be as many as images (3), got 2"));
  REQUIRE_THROWS_MATCHES(
      reward->judge(torch::zeros({2, 3, 16, 16}, torch::kByte), kPrompts), ShapeError,
      Says("images must be Float RGB in [0, 1], got Byte (divide 8-bit pictures by 255"));
  REQUIRE_THROWS_MATCHES(reward->judge(torch::zeros({2, 3, 16, 16}, torch::kHalf), kPrompts),
                         ShapeError, Says("images must be Float RGB in [0, 1], got Half"));
  const auto elsewhere = torch::empty({2, 3, 16, 16}, torch::device(torch::kMeta));
  REQUIRE_THROWS_MATCHES(reward->judge(elsewhere, kPrompts), ShapeError,
                         Says("images must be on the reward's device cpu, got meta"));
  auto options = tiny_rahf_options(Variant::kMultiHead);
  options.heatmap.stages = {8};
  REQUIRE_THROWS_MATCHES(RahfModel(options), ConfigError,
                         Says("1 doublings must undo patches of 4 pixels"));
}

TEST_CASE("RahfReward refuses a prompt of more tokens than T5 was trained with",
          "[reward][rahf][errors]") {
  const auto reward = tiny_reward(Variant::kMultiHead);
  std::string text;
  for (std::int64_t i = 0; i < 512; ++i) text += "red ";  // and the end's token
  REQUIRE_THROWS_MATCHES(
      reward->judge(torch::rand({2, 3, 16, 16}), {{.text = "a"}, {.text = text}}), PromptError,
      Says("a prompt must have at most 512 tokens, got 513 ('red red"));
}

TEST_CASE("RahfOptions has the paper's and the first author's sizes", "[reward][rahf]") {
  RahfOptions paper;
  CHECK_NOTHROW(paper.validate());
  CHECK(paper.vit.image_size == 224);
  CHECK(paper.t5.d_model == 768);
}
