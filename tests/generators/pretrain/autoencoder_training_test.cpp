#include "rahf/generators/pretrain/autoencoder_training.h"

#include <torch/types.h>
#include <torch/utils.h>

#include "coloured_squares.h"
#include "rahf/core/error.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/progress.h"
#include "rahf/core/random.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf::generators;

namespace {

VqTraining tiny_vq(std::int64_t updates) {
  rahf::Progress::silence(true);
  VqTraining options;
  options.base.batch_size = 4;
  options.base.check_pictures = 8;
  options.base.updates = updates;
  options.base.loop = {.log_every = 5, .check_every = 0, .save_every = 10};
  options.base.optimisation.schedule = {.learning_rate = 2e-3, .warmup = 5};
  options.model.coder.block_out_channels = {8, 8};
  options.model.coder.layers_per_block = 1;
  options.model.coder.latent_channels = 4;
  options.model.coder.norm_num_groups = 4;
  options.model.num_vq_embeddings = 16;
  options.start_batches = 2;
  return options;
}

torch::Tensor rmse(VQModel model, const torch::Tensor& images) {
  return (model->decode_ids(model->encode_ids(images)) - images).square().mean().sqrt();
}

}  // namespace

TEST_CASE("train_vq learns to reconstruct, and leaves a model folder with its note",
          "[generators][pretrain]") {
  const ScratchFolder scratch;
  const ColouredSquares pictures(16);
  const PretrainingPlace place{.run = scratch / "run", .half = true, .note = {{"command", "c"}}};
  train_vq(tiny_vq(60), pictures, place);
  auto model = load_vq_model(place.model());
  const torch::NoGradGuard no_grad;
  const auto images = pictures.at(500, 16).images;
  CHECK(rmse(model, images).item<float>() < images.std().item<float>());
  // Latents are centred and scaled for diffusion.
  const auto latents = model->encode(images);
  CHECK(latents.mean().abs().item<float>() < .3);
  CHECK(latents.std().item<float>() == Approx(1).margin(.3));
  const auto file =
      rahf::io::read_safetensors(place.model() / "diffusion_pytorch_model.safetensors");
  CHECK(file.metadata.at("command") == "c");
  CHECK(file.tensors.at("quantize.embedding.weight").scalar_type() == torch::kHalf);
}

TEST_CASE("train_vq ends with the same weights whether it was stopped or not",
          "[generators][pretrain]") {
  const ScratchFolder scratch;
  const ColouredSquares pictures(16);
  // The codes start at update 7, between the two parts.
  train_vq(tiny_vq(20), pictures, {.run = scratch / "whole"});
  auto interrupted = tiny_vq(20);
  interrupted.base.loop.save_every = 5;
  train_vq(interrupted, pictures, {.run = scratch / "parts"});
  std::filesystem::remove(scratch / "parts/checkpoints/00000020.safetensors");
  std::filesystem::remove_all(scratch / "parts/model");
  train_vq(interrupted, pictures, {.run = scratch / "parts", .resume = true});
  const auto read = [&](const char* run) {
    return rahf::io::read_safetensors(scratch / run / "model/diffusion_pytorch_model.safetensors");
  };
  const auto whole = read("whole"), parts = read("parts");
  for (const auto& [name, tensor] : whole.tensors) {
    INFO(name);
    CHECK(torch::equal(tensor, parts.tensors.at(name)));
  }
}

TEST_CASE("normalise_latents changes neither ids nor reconstructions", "[generators][pretrain]") {
  torch::manual_seed(2);
  VQModel model(tiny_vq(1).model);
  const torch::NoGradGuard no_grad;
  model->codebook().copy_(torch::randn({16, 4}));
  const auto images = torch::rand({3, 3, 16, 16});
  const auto z = model->encode(images), shown = model->decode(z);
  const auto ids = model->encode_ids(images), from_ids = model->decode_ids(ids);
  const auto mean = torch::tensor({.5F, -1.0F, 0.0F, 2.0F});
  normalise_latents(model, mean, 3);
  CHECK(torch::allclose(model->encode(images), (z - mean.view({1, 4, 1, 1})) / 3, 1e-4, 1e-5));
  CHECK(torch::allclose(model->decode(model->encode(images)), shown, 1e-4, 1e-5));
  CHECK(torch::equal(model->encode_ids(images), ids));
  CHECK(torch::allclose(model->decode_ids(ids), from_ids, 1e-4, 1e-5));
}

TEST_CASE("train_vae learns to reconstruct, with latents of deviation 1 for diffusion",
          "[generators][pretrain]") {
  const ScratchFolder scratch;
  const ColouredSquares pictures(16);
  VaeTraining options;
  options.base = tiny_vq(60).base;
  options.model.coder = tiny_vq(1).model.coder;
  const PretrainingPlace place{.run = scratch / "run"};
  train_vae(options, pictures, place);
  auto model = load_autoencoder_kl(place.model());
  const torch::NoGradGuard no_grad;
  const auto images = pictures.at(500, 16).images;
  const auto latents = model->encode(images * 2 - 1).mean;
  const auto shown = (model->decode(latents) + 1) / 2;
  CHECK((shown - images).square().mean().sqrt().item<float>() < images.std().item<float>());
  CHECK(model->scaled(latents).std().item<float>() == Approx(1).margin(.3));
}

TEST_CASE("VqTraining refuses shares out of range", "[generators][pretrain]") {
  auto options = tiny_vq(1);
  options.continuous_share = 1;
  CHECK_THROWS_MATCHES(options.validate(), rahf::ConfigError,
                       Says("continuous_share must be in [0, 1), got 1"));
}
