#include "rahf/generators/autoencoder/vq_model.h"

#include <filesystem>
#include <fstream>

#include "rahf/core/error.h"
#include "rahf/core/nn/weights.h"
#include "rahf/generators/parity.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using generators::VQModel;
using generators::VQModelOptions;

namespace {

const VQModelOptions kTiny{.coder = {.latent_channels = 2,
                                     .block_out_channels = {4, 4},
                                     .layers_per_block = 1,
                                     .norm_num_groups = 2,
                                     .mid_block_add_attention = false},
                           .num_vq_embeddings = 3};

VQModel with_codes(const std::vector<float>& codes) {
  VQModel model(kTiny);
  const torch::NoGradGuard no_grad;
  model->codebook().copy_(torch::tensor(codes).view({3, 2}));
  return model;
}

}  // namespace

TEST_CASE("VQModel equals the reference implementation", "[generators][vq][parity]") {
  const std::string name = GENERATE("vq", "vq_odd");
  INFO(name);
  const auto folder = rahf::test::fixtures() / "generators" / name;
  const auto test = nn::ParityCase::read(folder / "case.safetensors");
  const auto differences =
      nn::parity_differences(generators::vq_model_outputs(folder, test), test.expected);
  REQUIRE(differences.size() == 4);
  for (const auto& one : differences) {
    INFO(one.output);
    CHECK(one.largest <= (one.output == "ids" ? 0 : 1e-5));
  }
}

TEST_CASE("VQModel takes the nearest code and looks it up", "[generators][vq]") {
  const auto model = with_codes({0, 0, 1, 0, 0, 2});
  const auto z = torch::tensor({0.4F, 0.6F, 0.F, 0.1F, 0.1F, 1.1F}).view({1, 2, 1, 3});
  const auto ids = model->nearest(z);  // (.4, .1), (.6, .1), (0, 1.1)
  CHECK(torch::equal(ids, torch::tensor({0, 1, 2}).view({1, 1, 3})));
  const auto codes = model->lookup(ids);
  CHECK(torch::equal(codes, torch::tensor({0.F, 1.F, 0.F, 0.F, 0.F, 2.F}).view({1, 2, 1, 3})));
}

TEST_CASE("VQModel's quantisation passes gradients straight and commits per location",
          "[generators][vq]") {
  auto model = with_codes({0, 0, 1, 0, 0, 2});
  auto z = torch::tensor({0.4F, 0.F}).view({1, 2, 1, 1}).requires_grad_();
  const auto quantised = model->quantise(z);
  CHECK(quantised.codes.abs().max().item<float>() == 0);
  CHECK(quantised.commitment.sizes() == at::IntArrayRef({1, 1, 1}));
  CHECK(quantised.commitment.item<float>() == Approx(1.25 * 0.4 * 0.4 / 2));
  (3 * quantised.codes).sum().backward();
  CHECK(torch::equal(z.grad(), torch::full_like(z, 3)));
  CHECK_FALSE(model->codebook().grad().defined());
  z.mutable_grad().zero_();
  model->quantise(z).commitment.sum().backward();
  CHECK(z.grad()[0][0].item<float>() == Approx(0.4));                   // 2 (z - e) / 2
  CHECK(model->codebook().grad()[0][0].item<float>() == Approx(-0.1));  // 0.25 of that
}

TEST_CASE("VQModel finds the same codes in parts as at once", "[generators][vq]") {
  torch::manual_seed(1);
  const VQModel model(kTiny);
  const auto z = torch::randn({1, 2, 80, 70});  // more rows than are compared at once
  CHECK(torch::equal(model->nearest(z).slice(1, 60), model->nearest(z.slice(2, 60))));
}

TEST_CASE("VQModel loads what it saved", "[generators][vq]") {
  const ScratchFolder folder;
  const VQModel model(kTiny);
  generators::save_vq_model(model, folder.path());
  const auto again = generators::load_vq_model(folder.path());
  CHECK(again->options().code_channels() == 2);
  CHECK_FALSE(again->options().coder.mid_block_add_attention);
  CHECK(torch::equal(again->codebook(), model->codebook()));
}

TEST_CASE("VQModel's folder is refused where it is of another kind", "[generators][vq]") {
  const ScratchFolder folder;
  const auto file = folder / "config.json";
  std::ofstream(file) << R"({"norm_type": "spatial"})";
  REQUIRE_THROWS_MATCHES(generators::vq_model_options(file), ConfigError,
                         Says("norm_type must be \"group\", got \"spatial\""));
  std::ofstream(file) << R"({"up_block_types": ["UpDecoderBlock2D", "AttnUpDecoderBlock2D"]})";
  REQUIRE_THROWS_MATCHES(generators::vq_model_options(file), ConfigError,
                         Says("up_block_types must all be UpDecoderBlock2D, got AttnUp"));
  std::ofstream(file) << R"({"block_out_channels": [32, "64"]})";
  REQUIRE_THROWS_MATCHES(generators::vq_model_options(file), ConfigError,
                         Says("block_out_channels has the wrong type: [32,\"64\"]"));
}
