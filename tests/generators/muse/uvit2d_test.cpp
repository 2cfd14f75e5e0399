#include "rahf/generators/muse/uvit2d.h"

#include <filesystem>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/nn/parity.h"
#include "rahf/core/nn/weights.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using generators::UVit2DModel;
using generators::UVit2DOptions;

namespace {

const UVit2DOptions kTiny{.hidden_size = 12,
                          .num_hidden_layers = 2,
                          .num_attention_heads = 2,
                          .intermediate_size = 10,
                          .in_channels = 6,
                          .block_out_channels = 8,
                          .num_res_blocks = 1,
                          .block_num_heads = 2,
                          .vocab_size = 9,
                          .codebook_size = 7,
                          .encoder_hidden_size = 5,
                          .cond_embed_dim = 4,
                          .micro_cond_encode_dim = 4,
                          .micro_cond_embed_dim = 20,
                          .sample_size = 4};

struct Inputs {
  torch::Tensor ids, states, pooled, micro;

  Inputs rows(std::int64_t first, std::int64_t last) const {
    return {ids.slice(0, first, last), states.slice(0, first, last), pooled.slice(0, first, last),
            micro.slice(0, first, last)};
  }
};
Inputs inputs(std::int64_t batch, std::int64_t h = 4, std::int64_t w = 6) {
  return {torch::randint(0, 9, {batch, h, w}, torch::kLong), torch::randn({batch, 3, 5}),
          torch::randn({batch, 4}), 64 * torch::rand({batch, 5})};
}

torch::Tensor run(UVit2DModel& model, const Inputs& in) {
  return model(in.ids, model->condition(in.states, in.pooled, in.micro));
}

/// With modulations and response norms that do something.
UVit2DModel shaken(UVit2DOptions options = kTiny) {
  torch::manual_seed(1);
  UVit2DModel model(options);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : model->parameters()) parameter.add_(0.2 * torch::randn_like(parameter));
  return model;
}

}  // namespace

TEST_CASE("UVit2DModel equals the reference implementation", "[generators][uvit2d][parity]") {
  const std::string name = GENERATE("uvit", "uvit_halved", "uvit_biased");
  INFO(name);
  const auto folder = rahf::test::fixtures() / "muse" / name;
  const auto test = nn::ParityCase::read(folder / "case.safetensors");
  const auto differences =
      nn::parity_differences(generators::uvit_outputs(folder, test), test.expected);
  REQUIRE(differences.size() == 1);
  CHECK(differences[0].output == "logits");
  CHECK(differences[0].largest <= 1e-4 * test.expected.at("logits").abs().max().item<double>());
}

TEST_CASE("UVit2DModel sees each sample by itself", "[generators][uvit2d]") {
  auto model = shaken();
  const auto all = inputs(3);
  CHECK(torch::allclose(run(model, all).slice(0, 1, 2), run(model, all.rows(1, 2)), 1e-5, 1e-5));
}

TEST_CASE("UVit2DModel answers to text, pooled text and micro-conditions", "[generators][uvit2d]") {
  auto model = shaken();
  const auto one = inputs(1);
  const auto base = run(model, one);
  CHECK_FALSE(torch::allclose(run(model, {one.ids, one.states + 1, one.pooled, one.micro}), base));
  CHECK_FALSE(torch::allclose(run(model, {one.ids, one.states, one.pooled + 1, one.micro}), base));
  CHECK_FALSE(torch::allclose(run(model, {one.ids, one.states, one.pooled, one.micro + 1}), base));
}

TEST_CASE("UVit2DCondition serves rows in any order and number", "[generators][uvit2d]") {
  auto model = shaken();
  const auto two = inputs(2);
  const auto rows = torch::tensor({1, 0, 1});
  const auto condition = model->condition(two.states, two.pooled, two.micro);
  const auto take = [&](const torch::Tensor& x) { return x.index_select(0, rows); };
  CHECK(torch::allclose(
      model(take(two.ids), condition.select(rows)),
      run(model, {take(two.ids), take(two.states), take(two.pooled), take(two.micro)}), 1e-5,
      1e-5));
}

TEST_CASE("UVit2DModel's gradients are those of finite differences", "[generators][uvit2d]") {
  auto options = kTiny;
  options.downsample = options.upsample = true;
  options.num_hidden_layers = 1;
  auto model = shaken(options);
  model->to(torch::kDouble);
  const auto one = inputs(1, 2, 4);
  const auto value = [&] {
    return (run(model, one) * torch::linspace(-1, 1, 8, torch::kDouble).view({2, 4})).sum();
  };
  model->zero_grad();
  value().backward();
  const torch::NoGradGuard no_grad;
  for (const std::string name :
       {"embed.embeddings.weight", "encoder_proj.weight", "cond_embed.linear_1.weight",
        "down_block.downsample.conv.weight", "down_block.res_blocks.0.channelwise_norm.gamma",
        "up_block.attention_blocks.0.attn2.to_v.weight", "transformer_layers.0.norm2.linear.weight",
        "transformer_layers.0.ff.net.0.proj.weight"}) {
    INFO(name);
    auto weight = model->named_parameters()[name];
    const auto direction = torch::randn_like(weight);
    const auto slope = (weight.grad() * direction).sum().item<double>();
    const double step = 1e-5;
    weight.add_(direction, step);
    const auto above = value().item<double>();
    weight.sub_(direction, 2 * step);
    const auto below = value().item<double>();
    weight.add_(direction, step);
    CHECK((above - below) / (2 * step) == Approx(slope).epsilon(1e-4).margin(1e-4));
  }
}

TEST_CASE("UVit2DModel's gradients are the same with checkpointing", "[generators][uvit2d]") {
  auto model = shaken();
  const auto two = inputs(2);
  const auto gradients = [&](bool checkpointing) {
    model->set_gradient_checkpointing(checkpointing);
    model->zero_grad();
    run(model, two).square().sum().backward();
    std::vector<torch::Tensor> all;
    for (const auto& parameter : model->parameters()) all.push_back(parameter.grad().clone());
    return all;
  };
  const auto plain = gradients(false), again = gradients(true);
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(torch::equal(plain[i], again[i]));
}

TEST_CASE("UVit2DModel's clone computes the same and shares nothing", "[generators][uvit2d]") {
  auto model = shaken();
  UVit2DModel copy(std::dynamic_pointer_cast<generators::UVit2DModelImpl>(model->clone()));
  const auto one = inputs(1);
  const auto before = run(model, one);
  CHECK(torch::equal(run(copy, one), before));
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : copy->parameters()) parameter.zero_();
  }
  CHECK(torch::equal(run(model, one), before));
}

TEST_CASE("save_uvit2d writes what load_uvit2d reads", "[generators][uvit2d]") {
  const ScratchFolder scratch;
  auto options = kTiny;
  options.upsample = options.downsample = true;
  options.layer_norm_eps = 1e-3;
  auto model = shaken(options);
  generators::save_uvit2d(model, scratch.path());
  auto again = generators::load_uvit2d(scratch.path());
  const auto one = inputs(1);
  CHECK(torch::equal(run(again, one), run(model, one)));
  CHECK(again->options().layer_norm_eps == 1e-3);
}

TEST_CASE("UVit2DModel in bf16 stays near f32", "[generators][uvit2d]") {
  auto model = shaken();
  const auto two = inputs(2);
  const auto expected = run(model, two);
  model->to(torch::kBFloat16);
  const auto got = run(model, two);
  CHECK(got.scalar_type() == torch::kBFloat16);
  CHECK((got - expected).norm().item<double>() <= 0.05 * expected.norm().item<double>());
}

TEST_CASE("UVit2DModel rejects inputs of other sizes", "[generators][uvit2d]") {
  auto options = kTiny;
  options.downsample = true;
  auto model = shaken(options);
  const auto two = inputs(2, 4, 3);
  REQUIRE_THROWS_MATCHES(run(model, two), ShapeError,
                         Says("ids must have an even height and width, got 4 x 3"));
  REQUIRE_THROWS_MATCHES(run(model, {two.ids.slice(0, 1), two.states, two.pooled, two.micro}),
                         ShapeError, Says("ids must be [2, h, w]"));
  REQUIRE_THROWS_MATCHES(model->condition(two.states, two.pooled, two.micro.slice(1, 1)),
                         ShapeError, Says("micro_conditions must be [B, 5], got [2, 4]"));
  REQUIRE_THROWS_MATCHES(model->condition(two.states, two.pooled.slice(0, 1), two.micro),
                         ShapeError, Says("pooled must be"));
}

TEST_CASE("UVit2DOptions rejects what no model can have", "[generators][uvit2d]") {
  const auto says = [](UVit2DOptions options, const char* text) {
    REQUIRE_THROWS_MATCHES(options.validate(), ConfigError, Says(text));
  };
  says({.hidden_size = 10, .num_attention_heads = 3},
       "hidden_size must be > 0 and a multiple of num_attention_heads, got 10");
  says({.vocab_size = 8192}, "vocab_size must be > codebook_size, got 8192");
  says({.micro_cond_encode_dim = 5}, "micro_cond_encode_dim must be > 0 and even, got 5");
  says({.layer_norm_eps = 0}, "layer_norm_eps must be > 0");
}

TEST_CASE("uvit2d_options names what it does not compute", "[generators][uvit2d]") {
  const ScratchFolder scratch;
  const auto file = scratch / "config.json";
  const auto says = [&](const char* text, const char* error) {
    io::write_atomically(file, text);
    REQUIRE_THROWS_MATCHES(generators::uvit2d_options(file), ConfigError, Says(error));
  };
  says(R"({"hidden_dropout": 0.1})", "hidden_dropout must be 0, got 0.1");
  says(R"({"ln_elementwise_affine": false})", "ln_elementwise_affine must be true");
  says(R"({"hidden_size": "wide"})", "hidden_size");
  io::write_atomically(file, R"({"hidden_size": 512, "downsample": true})");
  const auto options = generators::uvit2d_options(file);
  CHECK(options.hidden_size == 512);
  CHECK(options.downsample);
  CHECK(options.mask_token() == 8255);
  CHECK(options.micro_conditions() == 5);
}
