#include "rahf/generators/diffusion/stable_diffusion.h"

#include <torch/types.h>

#include <filesystem>
#include <string>

#include "rahf/core/error.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/nn/lora.h"
#include "rahf/generators/registry.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using namespace rahf::generators;

namespace {

std::filesystem::path folder(const std::string& name) {
  return rahf::test::fixtures() / "pipelines" / name;
}

const Prompts kPrompts = {{.text = "a red circle"}, {.text = "two blue stars"}};

SampleOptions as_the_reference(const torch::Tensor& latents) {
  return {.num_steps = 5, .guidance_scale = 3, .negative_prompt = "grey", .start = latents};
}

}  // namespace

TEST_CASE("A Stable Diffusion folder makes the pictures that diffusers makes of it",
          "[generators][diffusion][parity]") {
  const std::string name = GENERATE("diffusion", "diffusion_v");
  INFO(name);
  const auto test = io::read_safetensors(folder(name) / "case.safetensors").tensors;
  const auto generator = load_generator(folder(name), torch::kCPU);
  const auto traits = generator->traits();
  CHECK(traits.grid == Grid{.height = 8, .width = 8});
  CHECK(traits.image_height == 16);
  const Draws draws{.random = Randomness(1)};
  const auto rollout = generator->sample(kPrompts, as_the_reference(test.at("latents")), draws);
  CHECK((rollout.images - test.at("images")).abs().max().item<float>() <= 1e-4F);
  const auto encoded = generator->encode(test.at("pixels"));
  CHECK((encoded - test.at("encoded")).abs().max().item<float>() <= 1e-5F);
}

TEST_CASE("Stable Diffusion's probability ratio is exactly 1 before the first update",
          "[generators][diffusion]") {
  const std::int64_t batch = GENERATE(1, 7);
  const double guidance = GENERATE(1.0, 4.0);
  auto generator = load_generator(folder("diffusion"), torch::kCPU);
  for (const auto& one : generator->trainable()) REQUIRE(one.value.requires_grad());
  const Prompts prompts(static_cast<std::size_t>(batch), Prompt{.text = "a blue star"});
  const auto rollout = generator->sample(
      prompts,
      {.num_steps = 4, .guidance_scale = guidance, .stochasticity = 1, .keep_trajectory = true},
      {.random = Randomness(2)});
  const auto terms =
      generator->step_terms(rollout, torch::arange(4).expand({batch, 4}), {.kl = true});
  CHECK(terms.log_prob.requires_grad());
  CHECK(torch::equal(terms.log_prob.detach(), rollout.log_prob));
  CHECK(torch::equal(terms.kl.detach(), torch::zeros({batch, 4, 8, 8})));
}

TEST_CASE("A saved Stable Diffusion folder loads again as it was", "[generators][diffusion]") {
  const ScratchFolder scratch;
  const auto original = load_generator(folder("diffusion"), torch::kCPU);
  {
    const torch::NoGradGuard no_grad;
    for (auto& one : original->trainable()) one.value.mul_(1.01);
  }
  original->save(scratch / "saved");
  const auto again = load_generator(scratch / "saved", torch::kCPU);
  const auto latents =
      io::read_safetensors(folder("diffusion") / "case.safetensors").tensors.at("latents");
  const Draws draws{.random = Randomness(1)};
  const auto picture = [&](Generator& generator) {
    return generator.sample(kPrompts, as_the_reference(latents), draws).images;
  };
  CHECK(torch::equal(picture(*original), picture(*again)));
}

TEST_CASE("The text encoder of Stable Diffusion is trained along only where that is asked for",
          "[generators][diffusion]") {
  const bool train_text = GENERATE(false, true);
  const PipelineFolder pipeline(folder("diffusion"));
  auto generator = make_stable_diffusion(
      load_stable_diffusion_parts(pipeline, torch::kCPU, train_text), torch::kCPU);
  const auto clean = torch::zeros({2, 4, 8, 8});
  const auto corrupted =
      generator->corrupt(clean, torch::tensor({0.3F, 0.8F}), {.random = Randomness(1)});
  const auto prediction = generator->predict(corrupted, kPrompts, Policy::kTrained, 1);
  generator->error(prediction, corrupted).mean().backward();
  bool text = false;
  for (const auto& one : generator->trainable()) {
    INFO(one.name);
    CHECK(one.value.grad().defined());
    text = text || one.name.starts_with("text_encoder.");
  }
  CHECK(text == train_text);
}

TEST_CASE("make_stable_diffusion refuses parts that do not fit each other",
          "[generators][diffusion]") {
  auto parts = load_stable_diffusion_parts(PipelineFolder(folder("diffusion")), torch::kCPU);
  auto options = parts.unet->options();
  options.in_channels = 5;
  parts.unet = UNet2DConditionModel(options);
  CHECK_THROWS_MATCHES(make_stable_diffusion(parts, torch::kCPU), ConfigError,
                       Says("unet must read 4 channels (9 to inpaint)"));
}

TEST_CASE("LatentDiffusion trains an adapter alone, and the reference is the network without it",
          "[generators][diffusion]") {
  const ScratchFolder scratch;
  auto generator = make_stable_diffusion(
      load_stable_diffusion_parts(PipelineFolder(folder("diffusion")), torch::kCPU), torch::kCPU);
  const auto latents =
      io::read_safetensors(folder("diffusion") / "case.safetensors").tensors.at("latents");
  const Draws draws{.random = Randomness(1)};
  auto options = as_the_reference(latents);
  const auto before = generator->sample(kPrompts, options, draws).images;

  generator->train_adapter(
      nn::Lora(generator->network(), "policy", {.rank = 2, .alpha = 4}, Randomness(3)));
  for (auto& one : generator->trainable()) {
    CHECK(one.value.numel() <= 2 * 32);
    const torch::NoGradGuard no_grad;
    one.value.add_(0.3);
  }
  const auto trained = generator->sample(kPrompts, options, draws).images;
  CHECK_FALSE(torch::allclose(trained, before, 1e-3, 1e-3));
  options.policy = Policy::kReference;
  CHECK(torch::equal(generator->sample(kPrompts, options, draws).images, before));

  generator->save(scratch / "adapter");
  auto again = make_stable_diffusion(
      load_stable_diffusion_parts(PipelineFolder(folder("diffusion")), torch::kCPU), torch::kCPU);
  again->train_adapter(nn::Lora::load(again->network(), "policy", scratch / "adapter", "unet"));
  options.policy = Policy::kTrained;
  CHECK(torch::equal(again->sample(kPrompts, options, draws).images, trained));
}
