#include "rahf/core/nn/t5.h"

#include <torch/autograd.h>

#include <algorithm>
#include <filesystem>

#include "rahf/core/nn/config.h"
#include "rahf/core/nn/parity.h"
#include "support/catch.h"
#include "support/paths.h"

using namespace rahf;
using nn::T5;
using nn::T5Options;

namespace {

const T5Options kTiny{.vocab_size = 13,
                      .d_model = 8,
                      .d_kv = 3,
                      .num_heads = 2,
                      .num_layers = 2,
                      .num_decoder_layers = 2,
                      .d_ff = 10};

T5 tiny(T5Options options = kTiny, std::uint64_t seed = 1) {
  torch::manual_seed(seed);
  return T5(options);
}

}  // namespace

TEST_CASE("T5 equals the reference implementation, cached decoding included",
          "[core][t5][parity]") {
  const std::string name = GENERATE("t5", "t5_gated", "t5_long", "t5_buckets");
  const auto folder = rahf::test::fixtures() / "nn" / name;
  const auto test = nn::ParityCase::read(folder / "case.safetensors");
  const auto differences = nn::parity_differences(nn::t5_outputs(folder, test), test.expected);
  REQUIRE(differences.size() == 3);
  for (const auto& one : differences) {
    INFO(name << ": " << one.output);
    CHECK(one.largest <= (one.output == "greedy" ? 0 : 1e-5));
  }
}

TEST_CASE("load_t5 ties the output layer as the reference implementation does",
          "[core][t5][parity]") {
  // Said to be tied but with an output layer of its own; with the output layer alone; v1.1, tied.
  const std::string name = GENERATE("t5_tied_but_different", "t5_output_alone", "t5_tied_unscaled");
  const auto folder = rahf::test::fixtures() / "nn" / name;
  const auto test = nn::ParityCase::read(folder / "case.safetensors");
  const auto differences = nn::parity_differences(nn::t5_outputs(folder, test), test.expected);
  REQUIRE(differences.size() == 2);
  for (const auto& one : differences) {
    INFO(name << ": " << one.output);
    CHECK(one.largest <= 1e-5);
  }
}

TEST_CASE("t5_tensors refuses an encoder with an embedding of its own", "[core][t5][errors]") {
  const io::TensorMap own = {{"shared.weight", torch::zeros({3, 2})},
                             {"encoder.embed_tokens.weight", torch::ones({3, 2})}};
  REQUIRE_THROWS_MATCHES(nn::t5_tensors(own, "f"), CheckpointError,
                         Says("f: encoder.embed_tokens.weight must be equal to shared.weight"));
}

TEST_CASE("T5 has the parameters of the published checkpoints", "[core][t5]") {
  // T5-base's layers with narrow widths: no two sizes are equal, so shapes tell them apart.
  const bool gated = GENERATE(false, true);  // T5 v1.0 and v1.1
  const std::int64_t D = 10, inner = 12 * 3, F = 7, V = 5;
  const T5 model(T5Options{.vocab_size = V,
                           .d_model = D,
                           .d_kv = 3,
                           .d_ff = F,
                           .gated = gated,
                           .tie_word_embeddings = !gated,
                           .scale_decoder_outputs = !gated});
  auto left = nn::weights(*model);
  const auto take = [&](const std::string& key, std::vector<std::int64_t> shape) {
    INFO(key);
    REQUIRE(left.contains(key));
    CHECK(left.at(key).sizes() == at::IntArrayRef(shape));
    left.erase(key);
  };
  const auto take_attention = [&](const std::string& path) {
    for (const std::string part : {"q", "k", "v"}) take(path + part + ".weight", {inner, D});
    take(path + "o.weight", {D, inner});
  };
  take("shared.weight", {V, D});
  for (const std::string side : {"encoder", "decoder"}) {
    for (int i = 0; i < 12; ++i) {
      const auto block = side + ".block." + std::to_string(i) + ".layer.";
      take_attention(block + "0.SelfAttention.");
      if (i == 0) take(block + "0.SelfAttention.relative_attention_bias.weight", {32, 12});
      if (side == "decoder") take_attention(block + "1.EncDecAttention.");
      const int last = side == "decoder" ? 2 : 1;
      const auto dense = block + std::to_string(last) + ".DenseReluDense.";
      take(dense + (gated ? "wi_0.weight" : "wi.weight"), {F, D});
      if (gated) take(dense + "wi_1.weight", {F, D});
      take(dense + "wo.weight", {D, F});
      for (int k = 0; k <= last; ++k) take(block + std::to_string(k) + ".layer_norm.weight", {D});
    }
    take(side + ".final_layer_norm.weight", {D});
  }
  if (gated) take("lm_head.weight", {V, D});
  CHECK(left.empty());
}

TEST_CASE("T5's position bias has the published bucket boundaries", "[core][t5]") {
  // A bucket is in use where its entry of the table gets a gradient.
  auto options = kTiny;
  options.num_heads = 1;
  options.num_layers = options.num_decoder_layers = 1;
  auto model = tiny(options);
  const auto buckets_used = [&](bool decoder, std::int64_t length) {
    const std::string name = std::string(decoder ? "decoder" : "encoder") +
                             ".block.0.layer.0.SelfAttention.relative_attention_bias.weight";
    auto table = model->named_parameters()[name];
    torch::manual_seed(2);
    const auto ids = torch::randint(0, 13, {1, length}, torch::kLong);
    const auto loss = decoder ? model->decode(ids, torch::zeros({1, 1, 8})).square().sum()
                              : model->encode(model->embed(ids)).square().sum();
    const auto gradient = torch::autograd::grad({loss}, {table})[0].flatten();
    std::vector<std::int64_t> used;
    for (std::int64_t i = 0; i < 32; ++i) {
      if (gradient[i].item<float>() != 0) used.push_back(i);
    }
    return used;
  };
  // A sequence of r + 1 tokens has distances up to r: bucket b is first used at its boundary.
  const std::vector<std::pair<int, int>> encoder = {{8, 8},   {12, 9},  {16, 10}, {23, 11},
                                                    {32, 12}, {46, 13}, {64, 14}, {91, 15}};
  for (const auto& [distance, bucket] : encoder) {
    INFO("encoder, distance " << distance);
    const auto before = buckets_used(false, distance), after = buckets_used(false, distance + 1);
    CHECK(std::count(before.begin(), before.end(), bucket) == 0);
    CHECK(std::count(after.begin(), after.end(), bucket) == 1);
    CHECK(std::count(before.begin(), before.end(), bucket + 16) == 0);
    CHECK(std::count(after.begin(), after.end(), bucket + 16) == 1);
  }
  const std::vector<std::pair<int, int>> decoder = {
      {16, 16}, {19, 17}, {21, 18}, {24, 19}, {27, 20}, {31, 21}, {35, 22}, {40, 23},
      {46, 24}, {52, 25}, {59, 26}, {67, 27}, {77, 28}, {87, 29}, {99, 30}, {113, 31}};
  for (const auto& [distance, bucket] : decoder) {
    INFO("decoder, distance " << distance);
    const auto before = buckets_used(true, distance), after = buckets_used(true, distance + 1);
    CHECK(std::count(before.begin(), before.end(), bucket) == 0);
    CHECK(std::count(after.begin(), after.end(), bucket) == 1);
  }
}

TEST_CASE("T5 ignores masked tokens", "[core][t5]") {
  const torch::NoGradGuard no_grad;
  auto model = tiny();
  const auto ids = torch::randint(0, 13, {2, 6}, torch::kLong);
  auto mask = torch::ones({2, 6}, torch::kBool);
  mask.index_put_({1, torch::indexing::Slice(4)}, false);
  auto other = ids.clone();
  other.index_put_({1, torch::indexing::Slice(4)}, 7);

  const auto states = model->encode(model->embed(ids), mask);
  const auto changed = model->encode(model->embed(other), mask);
  CHECK(torch::equal(states[0], changed[0]));
  CHECK(torch::allclose(states[1].slice(0, 0, 4), changed[1].slice(0, 0, 4), 1e-5, 1e-6));
  CHECK(torch::allclose(model->decode(ids, states, mask), model->decode(ids, changed, mask), 1e-4,
                        1e-5));
  const auto alone = model->encode(model->embed(ids.slice(0, 1).slice(1, 0, 4)));
  CHECK(torch::allclose(states[1].slice(0, 0, 4), alone[0], 1e-4, 1e-5));
}

TEST_CASE("T5's decoder does not see what follows", "[core][t5]") {
  auto model = tiny();
  const auto states = torch::randn({1, 4, 8});
  const auto ids = torch::randint(0, 13, {1, 7}, torch::kLong);
  const auto whole = model->decode(ids, states);
  CHECK(
      torch::allclose(model->decode(ids.slice(1, 0, 3), states), whole.slice(1, 0, 3), 1e-4, 1e-5));
}

static torch::Tensor written(T5 model, const torch::Tensor& states, const torch::Tensor& mask,
                             const nn::GreedyOptions& options) {
  return nn::greedy(nn::next_logits(*model, states, mask), states.size(0), states.device(),
                    options);
}

TEST_CASE("T5's greedy decoding writes what decoding anew at each token gives", "[core][t5]") {
  const torch::NoGradGuard no_grad;
  auto options = kTiny;
  options.tie_word_embeddings = GENERATE(true, false);
  auto model = tiny(options, 4);
  for (auto& parameter : model->parameters()) parameter.mul_(1.5);
  const auto states = torch::randn({5, 6, 8});
  const auto mask = torch::rand({5, 6}) > 0.3;
  const std::int64_t start = 2, pad = 3;
  // What the first row writes third ends it, and others elsewhere or never.
  const auto eos =
      written(model, states, mask, {.max_new_tokens = 3, .eos = -1, .start = start})[0][3]
          .item<std::int64_t>();
  auto ids = torch::full({5, 1}, start, torch::kLong);
  auto ended = torch::zeros({5}, torch::kBool);
  for (int step = 0; step < 12 && !ended.all().item<bool>(); ++step) {
    auto next = model->decode(ids, states, mask).select(1, -1).argmax(-1);
    next = next.masked_fill(ended, pad);
    ended = ended | (next == eos);
    ids = torch::cat({ids, next.unsqueeze(1)}, 1);
  }
  const auto greedy =
      written(model, states, mask, {.max_new_tokens = 12, .eos = eos, .pad = pad, .start = start});
  CHECK(torch::equal(greedy, ids));
  CHECK(std::get<0>(at::_unique(greedy)).numel() > 4);
  CHECK((greedy == eos).any(1).sum().item<std::int64_t>() < 5);
  CHECK(greedy[0][12].item<std::int64_t>() == pad);
}

TEST_CASE("T5's greedy decoding stops when every row has ended", "[core][t5]") {
  auto model = tiny();
  const auto states = torch::randn({3, 4, 8});
  const auto first = written(model, states, {}, {.max_new_tokens = 1});
  REQUIRE(first.sizes() == at::IntArrayRef({3, 2}));
  const auto one = states.slice(0, 0, 1);
  const auto ended =
      written(model, one, {}, {.max_new_tokens = 9, .eos = first[0][1].item<std::int64_t>()});
  CHECK(ended.size(1) == 2);
  CHECK_FALSE(ended.requires_grad());
}

TEST_CASE("T5's stack continues a cache by several tokens at a time", "[core][t5]") {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(6);
  nn::T5Stack decoder(kTiny, nn::T5Side::kDecoder);
  const auto embeds = torch::randn({2, 7, 8}), states = torch::randn({2, 3, 8});
  using Inputs = nn::T5StackImpl::Inputs;
  const auto whole = decoder(Inputs{.embeds = embeds, .encoder_states = states});
  nn::T5Cache cache;
  std::vector<torch::Tensor> parts;
  for (const auto& [from, to] : {std::pair{0, 3}, {3, 4}, {4, 7}}) {
    parts.push_back(decoder(
        Inputs{.embeds = embeds.slice(1, from, to), .encoder_states = states, .cache = &cache}));
  }
  CHECK(cache.length == 7);
  CHECK(torch::allclose(torch::cat(parts, 1), whole, 1e-4, 1e-5));
}

TEST_CASE("T5's clone computes the same and shares nothing", "[core][t5]") {
  auto model = tiny();
  T5 copy(std::dynamic_pointer_cast<nn::T5Impl>(model->clone()));
  const auto ids = torch::randint(0, 13, {2, 4}, torch::kLong);
  const auto run = [&](T5 t5) { return t5->decode(ids, t5->encode(t5->embed(ids))); };
  const auto before = run(model);
  CHECK(torch::equal(run(copy), before));
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : copy->parameters()) parameter.zero_();
  }
  CHECK(torch::equal(run(model), before));
  CHECK(run(copy).abs().max().item<float>() == 0);
}

TEST_CASE("T5 is initialised with the published deviations", "[core][t5]") {
  torch::manual_seed(8);
  const T5 model(T5Options{.vocab_size = 300,
                           .d_model = 64,
                           .d_kv = 16,
                           .num_heads = 8,
                           .num_layers = 1,
                           .num_decoder_layers = 1,
                           .d_ff = 256});
  const auto all = nn::weights(*model);
  const auto deviation = [&](const char* name) { return all.at(name).std().item<double>(); };
  CHECK(deviation("shared.weight") == Approx(1).epsilon(0.05));
  CHECK(deviation("encoder.block.0.layer.0.SelfAttention.q.weight") ==
        Approx(1 / std::sqrt(64.0 * 16)).epsilon(0.05));
  CHECK(deviation("decoder.block.0.layer.1.EncDecAttention.k.weight") ==
        Approx(1 / std::sqrt(64.0)).epsilon(0.05));
  CHECK(deviation("encoder.block.0.layer.0.SelfAttention.o.weight") ==
        Approx(1 / std::sqrt(8.0 * 16)).epsilon(0.05));
  CHECK(deviation("encoder.block.0.layer.1.DenseReluDense.wi.weight") ==
        Approx(1 / std::sqrt(64.0)).epsilon(0.05));
  CHECK(deviation("encoder.block.0.layer.1.DenseReluDense.wo.weight") ==
        Approx(1 / std::sqrt(256.0)).epsilon(0.05));
  CHECK(all.at("encoder.final_layer_norm.weight").min().item<float>() == 1);
}

TEST_CASE("T5 rejects tensors of the wrong shape and impossible options", "[core][t5]") {
  auto model = tiny();
  REQUIRE_THROWS_MATCHES(model->embed(torch::zeros({2, 3})), ShapeError,
                         Says("ids must be [B, L] Long"));
  REQUIRE_THROWS_MATCHES(model->encode(torch::zeros({2, 3, 7})), ShapeError,
                         Says("embeds must be [B, M, 8], got [2, 3, 7]"));
  REQUIRE_THROWS_MATCHES(model->encode(torch::zeros({2, 3, 8}), torch::ones({2, 4}, torch::kBool)),
                         ShapeError, Says("mask must be [B, M] Bool"));
  REQUIRE_THROWS_MATCHES(written(model, torch::zeros({1, 3, 8}), {}, {.max_new_tokens = 0}),
                         ConfigError, Says("max_new_tokens must be > 0, got 0"));
  REQUIRE_THROWS_MATCHES(T5(T5Options{.relative_attention_num_buckets = 30}), ConfigError,
                         Says("a multiple of 4, got 30"));
  T5 encoder(T5Options{.vocab_size = 3,
                       .d_model = 4,
                       .d_kv = 2,
                       .num_layers = 1,
                       .num_decoder_layers = 0,
                       .d_ff = 4});
  CHECK_FALSE(nn::weights(*encoder).contains("decoder.final_layer_norm.weight"));
  REQUIRE_THROWS_MATCHES(written(encoder, torch::zeros({1, 3, 4}), {}, {}), ConfigError,
                         Says("num_decoder_layers must be > 0"));
}
