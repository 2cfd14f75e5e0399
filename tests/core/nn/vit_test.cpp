#include "rahf/core/nn/vit.h"

#include <filesystem>

#include "rahf/core/nn/config.h"
#include "rahf/core/nn/parity.h"
#include "support/catch.h"
#include "support/paths.h"

using namespace rahf;
using nn::ViT;
using nn::ViTOptions;

namespace {

const ViTOptions kTiny{
    .width = 8, .layers = 2, .heads = 2, .hidden = 12, .image_size = 6, .patch_size = 2};

}  // namespace

TEST_CASE("ViT equals the reference implementation", "[core][vit][parity]") {
  const std::string name = GENERATE("vit", "vit_classifier", "vit_interpolated");
  INFO(name);
  const auto folder = rahf::test::fixtures() / "nn" / name;
  const auto test = nn::ParityCase::read(folder / "case.safetensors");
  const auto differences = nn::parity_differences(nn::vit_outputs(folder, test), test.expected);
  REQUIRE(differences.size() == 1);
  CHECK(differences[0].output == "last_hidden_state");
  CHECK(differences[0].largest <= 1e-5);
}

TEST_CASE("ViT has the parameters of the published ViT-B/16", "[core][vit]") {
  // Its layers with narrow widths: shapes still tell them apart.
  const std::int64_t D = 24, F = 40;
  const ViT model(ViTOptions{.width = D, .hidden = F});
  auto left = nn::weights(*model);
  const auto take = [&](const std::string& key, std::vector<std::int64_t> shape) {
    INFO(key);
    REQUIRE(left.contains(key));
    CHECK(left.at(key).sizes() == at::IntArrayRef(shape));
    left.erase(key);
  };
  take("embeddings.cls_token", {1, 1, D});
  take("embeddings.position_embeddings", {1, 197, D});
  take("embeddings.patch_embeddings.projection.weight", {D, 3, 16, 16});
  take("embeddings.patch_embeddings.projection.bias", {D});
  for (int i = 0; i < 12; ++i) {
    const auto layer = "encoder.layer." + std::to_string(i) + '.';
    for (const std::string part : {"attention.attention.query", "attention.attention.key",
                                   "attention.attention.value", "attention.output.dense"}) {
      take(layer + part + ".weight", {D, D});
      take(layer + part + ".bias", {D});
    }
    take(layer + "intermediate.dense.weight", {F, D});
    take(layer + "intermediate.dense.bias", {F});
    take(layer + "output.dense.weight", {D, F});
    take(layer + "output.dense.bias", {D});
    for (const std::string norm : {"layernorm_before", "layernorm_after"}) {
      take(layer + norm + ".weight", {D});
      take(layer + norm + ".bias", {D});
    }
  }
  take("layernorm.weight", {D});
  take("layernorm.bias", {D});
  CHECK(left.empty());
}

TEST_CASE("ViT starts with weights of the deviation asked for", "[core][vit]") {
  auto options = kTiny;
  options.width = 64;
  options.initializer_range = 0.3;
  torch::manual_seed(1);
  const auto weights = nn::weights(*ViT(options));
  const auto deviation = weights.at("encoder.layer.1.attention.attention.query.weight").std();
  CHECK(deviation.item<double>() == Approx(0.3).epsilon(0.05));
}

TEST_CASE("ViT's clone computes the same and shares nothing", "[core][vit]") {
  torch::manual_seed(1);
  ViT model(kTiny);
  ViT copy(std::dynamic_pointer_cast<nn::ViTImpl>(model->clone()));
  const auto pixels = torch::rand({2, 3, 6, 6});
  const auto before = model(pixels);
  CHECK(torch::equal(copy(pixels), before));
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : copy->parameters()) parameter.zero_();
  }
  CHECK(torch::equal(model(pixels), before));
  CHECK(copy(pixels).abs().max().item<float>() == 0);
}

TEST_CASE("ViT sees each picture by itself", "[core][vit]") {
  torch::manual_seed(2);
  ViT model(kTiny);
  const auto pixels = torch::rand({3, 3, 6, 6});
  CHECK(torch::allclose(model(pixels).slice(0, 1, 2), model(pixels.slice(0, 1, 2)), 1e-5, 1e-6));
}

TEST_CASE("ViT drops in training only", "[core][vit]") {
  torch::manual_seed(3);
  auto options = kTiny;
  options.dropout = 0.5;
  ViT model(options);
  const auto pixels = torch::rand({1, 3, 6, 6});
  CHECK_FALSE(torch::equal(model(pixels), model(pixels)));
  model->eval();
  CHECK(torch::equal(model(pixels), model(pixels)));
}

TEST_CASE("ViT resizes positions only where that is asked for", "[core][vit]") {
  const auto larger = torch::rand({1, 3, 8, 10});
  REQUIRE_THROWS_MATCHES(ViT(kTiny)(larger), ShapeError,
                         Says("pixels must be [B, 3, 6, 6], got [1, 3, 8, 10]"));
  auto options = kTiny;
  options.interpolate_positions = true;
  CHECK(ViT(options)(larger).sizes() == at::IntArrayRef({1, 1 + 4 * 5, 8}));
  REQUIRE_THROWS_MATCHES(ViT(options)(torch::rand({1, 3, 1, 8})), ShapeError,
                         Says("at least one patch of 2 x 2"));
}

TEST_CASE("ViTOptions rejects what no model can have", "[core][vit]") {
  const auto says = [](ViTOptions options, const char* text) {
    REQUIRE_THROWS_MATCHES(ViT(options), ConfigError, Says(text));
  };
  says({.width = 10, .heads = 3}, "heads must be > 0 and divide width, got 3");
  says({.layers = 0}, "layers must be > 0, got 0");
  says({.image_size = 30}, "image_size must be > 0 and a multiple of patch_size, got 30");
  says({.dropout = 1}, "dropout must be in [0, 1), got 1");
}
