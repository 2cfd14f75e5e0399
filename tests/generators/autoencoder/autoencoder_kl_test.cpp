#include "rahf/generators/autoencoder/autoencoder_kl.h"

#include <filesystem>

#include "rahf/core/error.h"
#include "rahf/core/nn/weights.h"
#include "rahf/generators/parity.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using generators::AutoencoderKL;
using generators::AutoencoderKLOptions;

namespace {

const AutoencoderKLOptions kTiny{.coder = {.latent_channels = 3,
                                           .block_out_channels = {4, 8},
                                           .layers_per_block = 1,
                                           .norm_num_groups = 2}};

}  // namespace

TEST_CASE("AutoencoderKL equals the reference implementation", "[generators][vae][parity]") {
  const std::string name = GENERATE("vae", "vae_odd", "vae_old");
  INFO(name);
  const auto folder = rahf::test::fixtures() / "generators" / name;
  const auto test = nn::ParityCase::read(folder / "case.safetensors");
  const auto differences =
      nn::parity_differences(generators::vae_outputs(folder, test), test.expected);
  REQUIRE(differences.size() == 3);
  for (const auto& one : differences) {
    INFO(one.output);
    CHECK(one.largest <= 1e-5);
  }
}

TEST_CASE("AutoencoderKL checkpoints with the same gradients", "[generators][vae]") {
  torch::manual_seed(1);
  AutoencoderKL model(kTiny);
  const auto images = torch::rand({2, 3, 8, 4});
  const auto gradients = [&](bool checkpointing) {
    model->set_gradient_checkpointing(checkpointing);
    model->zero_grad();
    const auto posterior = model->encode(images);
    (model->decode(posterior.mean).square().sum() + posterior.kl().sum()).backward();
    std::vector<torch::Tensor> all;
    for (const auto& parameter : model->parameters()) all.push_back(parameter.grad().clone());
    return all;
  };
  const auto plain = gradients(false), recomputed = gradients(true);
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(torch::equal(plain[i], recomputed[i]));
}

TEST_CASE("AutoencoderKL's clone computes the same and shares nothing", "[generators][vae]") {
  const torch::NoGradGuard no_grad;
  AutoencoderKL model(kTiny);
  AutoencoderKL copy(std::dynamic_pointer_cast<generators::AutoencoderKLImpl>(model->clone()));
  const auto latents = torch::randn({1, 3, 2, 3});
  const auto before = model->decode(latents);
  CHECK(torch::allclose(copy->decode(latents), before, 1e-4, 1e-5));
  for (auto& parameter : copy->parameters()) parameter.zero_();
  CHECK(torch::equal(model->decode(latents), before));
  CHECK(copy->decode(latents).abs().max().item<float>() == 0);
}

TEST_CASE("Posterior samples around its mean and measures its divergence", "[generators][vae]") {
  const generators::Posterior posterior{
      .mean = torch::tensor({1.F, -2.F}).view({1, 2, 1, 1}),
      .log_variance = torch::tensor({0.F, std::log(4.F)}).view({1, 2, 1, 1})};
  const auto sample = posterior.sample(torch::tensor({0.5F, 3.F}).view({1, 2, 1, 1}));
  CHECK(sample[0][0].item<float>() == 1.5F);
  CHECK(sample[0][1].item<float>() == Approx(-2 + 2 * 3));
  // 1/2 (1 + 1 - 1 - 0) + 1/2 (4 + 4 - 1 - log 4)
  CHECK(posterior.kl().sizes() == at::IntArrayRef({1, 1, 1}));
  CHECK(posterior.kl().item<double>() == Approx(0.5 + 0.5 * (7 - std::log(4.0))));
}

TEST_CASE("AutoencoderKL scales latents there and back", "[generators][vae]") {
  auto options = kTiny;
  options.scaling_factor = 2;
  options.shift_factor = 0.5;
  const AutoencoderKL model(options);
  const auto latents = torch::tensor({1.5F});
  CHECK(model->scaled(latents).item<float>() == 2);
  CHECK(model->unscaled(model->scaled(latents)).item<float>() == 1.5F);
}

TEST_CASE("AutoencoderKL loads what it saved", "[generators][vae]") {
  const ScratchFolder folder;
  const AutoencoderKL model(kTiny);
  generators::save_autoencoder_kl(model, folder / "vae");
  const auto again = generators::load_autoencoder_kl(folder / "vae");
  CHECK(again->options().coder.block_out_channels == kTiny.coder.block_out_channels);
  const auto a = nn::weights(*model), b = nn::weights(*again);
  REQUIRE(a.size() == b.size());
  for (const auto& [name, tensor] : a) CHECK(torch::equal(tensor, b.at(name)));
}

TEST_CASE("AutoencoderKL rejects what it cannot take", "[generators][vae]") {
  AutoencoderKL model(kTiny);
  REQUIRE_THROWS_MATCHES(model->encode(torch::zeros({1, 3, 8, 7})), ShapeError,
                         Says("AutoencoderKL::encode: the sides of images must be multiples of 2, "
                              "got 8 x 7"));
  REQUIRE_THROWS_MATCHES(model->decode(torch::zeros({1, 4, 2, 2})), ShapeError,
                         Says("latents must be [B, 3, h, w], got [1, 4, 2, 2]"));
  auto options = kTiny;
  options.coder.block_out_channels = {4, 7};
  REQUIRE_THROWS_MATCHES(AutoencoderKL(options), ConfigError,
                         Says("block_out_channels must be 1 to 16 multiples of norm_num_groups"));
}
