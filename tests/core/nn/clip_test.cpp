#include "rahf/core/nn/clip.h"

#include <filesystem>
#include <fstream>

#include "rahf/core/nn/clip_folder.h"
#include "rahf/core/nn/parity.h"
#include "rahf/core/nn/weights.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using nn::Clip;
using nn::ClipText;

namespace {

const nn::ClipTextOptions kText{.vocab_size = 20,
                                .hidden_size = 8,
                                .intermediate_size = 12,
                                .num_hidden_layers = 3,
                                .num_attention_heads = 2,
                                .max_position_embeddings = 7,
                                .eos_token_id = 19,
                                .projection_dim = 6};
const nn::ClipOptions kTiny{.text_config = kText,
                            .vision_config = {.hidden_size = 8,
                                              .intermediate_size = 10,
                                              .num_hidden_layers = 1,
                                              .num_attention_heads = 1,
                                              .image_size = 6,
                                              .patch_size = 3},
                            .projection_dim = 5};

torch::Tensor ids(std::vector<std::int64_t> values) { return torch::tensor(values).unsqueeze(0); }

}  // namespace

TEST_CASE("CLIP equals the reference implementation", "[core][clip][parity]") {
  const std::string name = GENERATE("clip_text", "clip_text_masked", "clip_text_projection",
                                    "clip_vision", "clip", "clip_narrow");
  INFO(name);
  const auto folder = rahf::test::fixtures() / "nn" / name;
  const auto test = nn::ParityCase::read(folder / "case.safetensors");
  for (const auto& one : nn::parity_differences(nn::clip_outputs(folder, test), test.expected)) {
    INFO(one.output);
    CHECK(one.largest <= 1e-5 * (1 + test.expected.at(one.output).abs().max().item<double>()));
  }
}

TEST_CASE("ClipText sees no later token", "[core][clip]") {
  torch::manual_seed(1);
  ClipText model(kText);
  const auto a = model(ids({18, 3, 4, 5, 19})), b = model(ids({18, 3, 4, 6, 7}));
  CHECK(torch::equal(a.last.slice(1, 0, 3), b.last.slice(1, 0, 3)));
  CHECK_FALSE(torch::allclose(a.last.slice(1, 3), b.last.slice(1, 3)));
}

TEST_CASE("ClipText pools at the first end token", "[core][clip]") {
  torch::manual_seed(2);
  auto options = kText;
  options.eos_token_id = GENERATE(19, 2);  // 2 stands for the largest id
  ClipText model(options);
  const auto states = model(ids({18, 4, 19, 19, 19}));
  CHECK(torch::equal(states.pooled[0], states.last[0][2]));
  CHECK_FALSE(states.embeds.defined());
  CHECK(torch::allclose(model(ids({18, 4, 19})).pooled, states.pooled, 1e-5, 1e-6));
}

TEST_CASE("ClipText's penultimate states are those before the last layer", "[core][clip]") {
  torch::manual_seed(3);
  ClipText model(kText);
  auto shorter = kText;
  --shorter.num_hidden_layers;
  ClipText first(shorter);
  auto tensors = nn::weights(*model);
  nn::load_weights(*first, tensors, "test", {.prefix = {}, .ignore = {"*.layers.2.*"}});
  const auto in = ids({18, 4, 5, 19});
  const auto states = model(in);
  CHECK(torch::equal(first(in).last,
                     torch::layer_norm(states.penultimate, {8}, {}, {}, kText.layer_norm_eps)));
}

TEST_CASE("CLIP's gradient checkpointing changes no gradient", "[core][clip]") {
  torch::manual_seed(4);
  Clip model(kTiny);
  const auto pixels = torch::rand({2, 3, 6, 6});
  const auto text = torch::randint(0, 20, {2, 7}, torch::kLong);
  const auto gradients = [&] {
    model->zero_grad();
    model->logits_per_image(model->encode_images(pixels), model->encode_text(text))
        .square()
        .sum()
        .backward();
    std::vector<torch::Tensor> all;
    for (const auto& parameter : model->parameters()) all.push_back(parameter.grad().clone());
    return all;
  };
  const auto plain = gradients();
  model->set_gradient_checkpointing(true);
  const auto checkpointed = gradients();
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(torch::equal(plain[i], checkpointed[i]));
}

TEST_CASE("CLIP's logits are scaled cosines", "[core][clip]") {
  Clip model(kTiny);
  const auto logits = model->logits_per_image(torch::tensor({{3.f, 0.f}, {0.f, 2.f}}),
                                              torch::tensor({{5.f, 0.f}, {1.f, 1.f}}));
  const double scale = std::exp(2.6592), half = scale / std::sqrt(2.0);
  CHECK(torch::allclose(logits, torch::tensor({{scale, half}, {0., half}}).to(torch::kFloat)));
}

TEST_CASE("clip_pixels normalises, and resizes and crops what is not of the size", "[core][clip]") {
  const auto grey = torch::full({1, 3, 4, 4}, 0.5);
  const auto expected =
      torch::tensor({(0.5 - 0.48145466) / 0.26862954, (0.5 - 0.4578275) / 0.26130258,
                     (0.5 - 0.40821073) / 0.27577711})
          .to(torch::kFloat);
  CHECK(torch::allclose(nn::clip_pixels(grey, 4)[0].select(1, 2).select(1, 1), expected));
  // Twice as wide as high: the middle half is left.
  auto wide = torch::zeros({1, 3, 8, 16});
  wide.slice(3, 4, 12) += 1;
  const auto seen = nn::clip_pixels(wide, 8);
  REQUIRE(seen.sizes() == at::IntArrayRef({1, 3, 8, 8}));
  CHECK(torch::equal(seen, nn::clip_pixels(torch::ones({1, 3, 8, 8}), 8)));
  CHECK(nn::clip_pixels(wide, 4).sizes() == at::IntArrayRef({1, 3, 4, 4}));
}

TEST_CASE("CLIP's clone computes the same and shares nothing", "[core][clip]") {
  torch::manual_seed(5);
  Clip model(kTiny);
  Clip copy(std::dynamic_pointer_cast<nn::ClipImpl>(model->clone()));
  const auto pixels = torch::rand({2, 3, 6, 6});
  const auto before = model->encode_images(pixels);
  CHECK(torch::equal(copy->encode_images(pixels), before));
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : copy->parameters()) parameter.zero_();
  }
  CHECK(torch::equal(model->encode_images(pixels), before));
}

TEST_CASE("CLIP is restored from its folder", "[core][clip]") {
  torch::manual_seed(6);
  const ScratchFolder folder;
  Clip model(kTiny);
  nn::save_clip(model, folder / "whole");
  const auto text = torch::randint(0, 20, {2, 7}, torch::kLong);
  CHECK(torch::equal(nn::load_clip(folder / "whole")->encode_text(text), model->encode_text(text)));

  auto options = kText;
  options.hidden_act = nn::ClipActivation::kGelu;
  ClipText encoder(options, nn::ClipHead::kProjection);
  nn::save_clip_text(encoder, folder / "text");
  CHECK(torch::equal(nn::load_clip_text(folder / "text")(text).embeds, encoder(text).embeds));
}

TEST_CASE("CLIP names what a folder has wrong", "[core][clip]") {
  const ScratchFolder folder;
  nn::save_clip_text(ClipText(kText), folder.path());
  const auto says = [&](const char* json, const char* message) {
    std::ofstream(folder / "config.json") << json;
    REQUIRE_THROWS_MATCHES(nn::load_clip_text(folder.path()), ConfigError, Says(message));
  };
  says(R"({"hidden_act": "relu"})",
       "config.json: hidden_act must be one of quick_gelu|gelu, got 'relu'");
  says(R"({"hidden_size": 10, "num_attention_heads": 4})",
       "num_attention_heads must divide hidden_size, got 4 for 10");
  says(R"({"vocab_size": 0})", "vocab_size must be > 0, got 0");
  std::ofstream(folder / "config.json") << R"({"hidden_size": 8, "num_attention_heads": 2})";
  REQUIRE_THROWS_MATCHES(
      nn::load_clip_text(folder.path()), CheckpointError,
      Says("text_model.embeddings.token_embedding.weight must be [49408, 8], got [20, 8]"));
}

TEST_CASE("CLIP rejects inputs of another shape", "[core][clip]") {
  ClipText text(kText);
  REQUIRE_THROWS_MATCHES(text(torch::zeros({1, 8}, torch::kLong)), ShapeError,
                         Says("ids must be at most 7 per text, got 8"));
  REQUIRE_THROWS_MATCHES(text(torch::zeros({1, 4})), ShapeError, Says("ids must be [B, L]"));
  REQUIRE_THROWS_MATCHES(
      text(torch::zeros({1, 4}, torch::kLong), torch::ones({1, 3}, torch::kBool)), ShapeError,
      Says("mask must be"));
  REQUIRE_THROWS_MATCHES(Clip(kTiny)->encode_images(torch::zeros({1, 3, 6, 7})), ShapeError,
                         Says("pixels must be [B, 3, 6, 6], got [1, 3, 6, 7]"));
}
