#include "rahf/core/nn/weights.h"

#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <fstream>

#include "rahf/core/error.h"
#include "rahf/core/nn/config.h"
#include "rahf/core/nn/parity.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using torch::nn::Linear;

namespace {

void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file) << text;
}

}  // namespace

TEST_CASE("load_weights restores what weights gave", "[core][weights]") {
  torch::nn::BatchNorm1d from(3), to(3);
  from->forward(torch::randn({5, 3}));
  nn::load_weights(*to, nn::weights(*from), "copy");
  const auto a = nn::weights(*from), b = nn::weights(*to);
  REQUIRE(a.size() == 5);
  for (const auto& [name, tensor] : a) CHECK(torch::equal(tensor, b.at(name)));
}

TEST_CASE("load_weights lists everything that does not fit, and changes nothing",
          "[core][weights]") {
  Linear module(2, 3);
  const auto before = module->bias.detach().clone();
  const io::TensorMap tensors = {{"bias", torch::zeros({3})},
                                 {"extra", torch::zeros({1})},
                                 {"other.weight", torch::zeros({2, 3})}};
  REQUIRE_THROWS_MATCHES(
      nn::load_weights(*module, tensors, "file.safetensors"), CheckpointError,
      Says("file.safetensors: the weights must be exactly the module's, but:\n"
           "  surplus extra [1]\n  surplus other.weight [2, 3]\n  missing weight [3, 2]"));
  CHECK(torch::equal(module->bias, before));

  REQUIRE_THROWS_MATCHES(
      nn::load_weights(
          *module, {{"bias", torch::zeros({3}, torch::kLong)}, {"weight", torch::zeros({2, 3})}},
          "f"),
      CheckpointError, Says("bias must be Float, got Long\n  weight must be [3, 2], got [2, 3]"));
  CHECK(torch::equal(module->bias, before));
}

TEST_CASE("load_weights takes a prefix off and passes over the named tensors", "[core][weights]") {
  Linear module(2, 2);
  io::TensorMap tensors = {{"vit.weight", torch::ones({2, 2})},
                           {"vit.bias", torch::ones({2})},
                           {"vit.pooler.dense.bias", torch::ones({2})},
                           {"classifier.bias", torch::ones({2})}};
  const nn::WeightNames names{.prefix = "vit.", .ignore = {"pooler.*", "classifier.*"}};
  nn::load_weights(*module, tensors, "f", names);
  CHECK(module->weight.min().item<float>() == 1);
  tensors.emplace("weight", torch::ones({2, 2}));
  REQUIRE_THROWS_MATCHES(nn::load_weights(*module, tensors, "f", names), CheckpointError,
                         Says("surplus"));
  tensors.erase("weight");
  tensors.emplace("vit.poolers", torch::ones({2}));
  REQUIRE_THROWS_MATCHES(nn::load_weights(*module, tensors, "f", names), CheckpointError,
                         Says("surplus vit.poolers [2]"));
}

TEST_CASE("load_weights converts to the module's element type", "[core][weights]") {
  Linear module(2, 2);
  module->to(torch::kBFloat16);
  nn::load_weights(*module,
                   {{"weight", torch::full({2, 2}, 0.5, torch::kHalf)},
                    {"bias", torch::ones({2}, torch::kDouble)}},
                   "f");
  CHECK(module->weight.scalar_type() == torch::kBFloat16);
  CHECK(module->weight.min().item<float>() == 0.5F);
}

TEST_CASE("load_t5 passes over the copies and leftovers of published checkpoints",
          "[core][weights]") {
  const auto source = rahf::test::fixtures() / "nn" / "t5";
  const ScratchFolder folder;
  std::filesystem::copy_file(source / "config.json", folder / "config.json");
  auto tensors = io::read_weights(source).tensors;
  tensors["encoder.embed_tokens.weight"] = tensors.at("shared.weight");
  tensors["decoder.embed_tokens.weight"] = tensors.at("shared.weight");
  tensors["lm_head.weight"] = tensors.at("shared.weight");
  tensors["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] =
      torch::zeros({32, 5});
  io::write_safetensors(folder / "model.safetensors", tensors);
  const auto model = nn::load_t5(folder.path());
  CHECK(torch::equal(nn::weights(*model).at("shared.weight"), tensors.at("shared.weight")));

  tensors.erase("decoder.final_layer_norm.weight");
  io::write_safetensors(folder / "model.safetensors", tensors);
  REQUIRE_THROWS_MATCHES(nn::load_t5(folder.path()), CheckpointError,
                         Says("missing decoder.final_layer_norm.weight [24]"));
}

TEST_CASE("The readers of config.json name file and key of what does not fit", "[core][weights]") {
  const ScratchFolder folder;
  const auto file = folder / "config.json";
  const auto says = [&](const std::string& text, const char* message) {
    write(file, text);
    INFO(text);
    REQUIRE_THROWS_MATCHES(nn::vit_options(file), ConfigError, Says(message));
  };
  const std::string start =
      R"({"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8)";
  says(start + "}", "config.json: hidden_size is missing");
  says(start + R"(, "hidden_size": "768"})", "hidden_size has the wrong type: \"768\"");
  says(start + R"(, "hidden_size": 5})", "heads must be > 0 and divide width, got 2");
  says(start + R"(, "hidden_size": 4, "hidden_act": "relu"})", "hidden_act must be gelu, got relu");
  write(file, start + R"(, "hidden_size": 4, "image_size": 32, "hidden_act": null})");
  CHECK(nn::vit_options(file).image_size == 32);
  CHECK(nn::vit_options(file).patch_size == 16);

  write(file, "[1]");
  REQUIRE_THROWS_MATCHES(nn::t5_options(file), FileError, Says("must be a JSON object"));
  write(file, R"({"vocab_size": 5, "d_model": 4, "d_kv": 2, "num_heads": 2, "num_layers": 3,
                  "d_ff": 8, "feed_forward_proj": "gated-silu"})");
  REQUIRE_THROWS_MATCHES(nn::t5_options(file), ConfigError,
                         Says("must be relu or gated-gelu, got gated-silu"));
  write(file, R"({"vocab_size": 5, "d_model": 4, "d_kv": 2, "num_heads": 2, "num_layers": 3,
                  "d_ff": 8, "feed_forward_proj": "gated-gelu", "dropout_rate": 0.1})");
  const auto options = nn::t5_options(file);
  CHECK(options.num_decoder_layers == 3);
  CHECK(options.gated);
  CHECK(options.dropout == 0);
}

TEST_CASE("parity_differences gives the largest difference of each output", "[core][parity]") {
  const auto nan = torch::full({1}, std::nan(""));
  const auto got =
      nn::parity_differences({{"a", torch::tensor({1.0, 2.5})}, {"b", nan}, {"unused", nan}},
                             {{"a", torch::tensor({1.5, 2.0 + 2})}, {"b", torch::zeros({1})}});
  REQUIRE(got.size() == 2);
  CHECK(got[0].largest == 1.5);
  CHECK(std::isinf(got[1].largest));
  REQUIRE_THROWS_MATCHES(nn::parity_differences({}, {{"a", nan}}), ShapeError,
                         Says("output.a is none of this module's outputs"));
  REQUIRE_THROWS_MATCHES(nn::parity_differences({{"a", torch::zeros({2})}}, {{"a", nan}}),
                         ShapeError, Says("output.a must be [1], got [2]"));
}

TEST_CASE("ParityCase names the input that is missing", "[core][parity]") {
  const ScratchFolder folder;
  const auto file = folder / "case.safetensors";
  io::write_safetensors(file, {{"input.x", torch::ones({1})}, {"output.y", torch::ones({1})}});
  const auto test = nn::ParityCase::read(file);
  CHECK(test.input("x").item<float>() == 1);
  REQUIRE_THROWS_MATCHES(test.input("z"), FileError, Says("input.z is missing, there is input.x"));
  io::write_safetensors(file, {{"input.x", torch::ones({1})}});
  REQUIRE_THROWS_MATCHES(nn::ParityCase::read(file), FileError, Says("must hold an output.NAME"));
  io::write_safetensors(file, {{"inputs.x", torch::ones({1})}});
  REQUIRE_THROWS_MATCHES(nn::ParityCase::read(file), FileError, Says("got inputs.x"));
}
