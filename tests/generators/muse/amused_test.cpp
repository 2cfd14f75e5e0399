#include "rahf/generators/muse/amused.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/generators/registry.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using generators::PipelineFolder;

namespace {

const Prompts kPrompts = {{"a red circle"}, {"two stars, blue"}};

std::filesystem::path pipeline() { return rahf::test::fixtures() / "muse" / "pipeline"; }

/// A copy of the pipeline with one JSON value changed.
void copy_with(const std::filesystem::path& folder, const char* file, const char* key,
               const nlohmann::json& value) {
  std::filesystem::copy(pipeline(), folder, std::filesystem::copy_options::recursive);
  auto json = nlohmann::json::parse(io::read_file(folder / file));
  json[key] = value;
  io::write_atomically(folder / file, json.dump());
}

}  // namespace

TEST_CASE("load_amused draws what diffusers' pipeline drew", "[generators][amused][parity]") {
  const auto muse = generators::load_amused(PipelineFolder(pipeline()), torch::kCPU);
  const auto run = io::read_safetensors(pipeline() / "run.safetensors").tensors;
  const auto& states = run.at("states");
  const auto mask = muse->network()->options().mask_token();
  const generators::MaskedSteps steps{.count = states.size(0) - 1};
  auto ids = states[0];
  for (std::int64_t t = 0; t < steps.count; ++t) {
    INFO("step " << t);
    const auto logits = muse->predict({.state = ids}, kPrompts, Policy::kTrained, 3);
    ids = generators::masked_step(torch::log_softmax(logits, 1), ids, run.at("drawn")[t],
                                  run.at("uniforms")[t], steps.at(t), mask)
              .ids;
    CHECK(torch::equal(ids, states[t + 1]));
  }
  CHECK(torch::allclose(muse->decode(ids), run.at("images"), 1e-4, 1e-4));
}

TEST_CASE("A saved Muse loads again and answers the same", "[generators][amused]") {
  const auto muse = generators::load_amused(PipelineFolder(pipeline()), torch::kCPU);
  const ScratchFolder scratch;
  muse->save(scratch / "saved");
  const auto again = generators::load_generator(scratch / "saved", torch::kCPU);
  const SampleOptions options{.num_steps = 4, .guidance_scale = 2, .stochasticity = 1};
  const Draws draws{.random = Randomness(3)};
  const auto before = muse->sample(kPrompts, options, draws);
  const auto after = again->sample(kPrompts, options, draws);
  CHECK(torch::equal(before.latents, after.latents));
  CHECK(torch::equal(before.images, after.images));
  CHECK(again->traits().grid == Grid{6, 6});
  CHECK(again->traits().image_width == 12);
}

TEST_CASE("Muse trains its transformer, and the text encoder if asked", "[generators][amused]") {
  const PipelineFolder folder(pipeline());
  const auto only = generators::load_amused(folder, torch::kCPU);
  auto parts = generators::load_amused_parts(folder, torch::kCPU, /*train_text=*/true);
  const auto both = generators::make_amused(parts, torch::kCPU);
  const auto count = [](Generator& generator, const std::string& prefix) {
    std::int64_t found = 0;
    for (const auto& one : generator.trainable()) found += one.name.starts_with(prefix);
    return found;
  };
  CHECK(count(*only, "transformer.") == std::ssize(parts.transformer->parameters()));
  CHECK(count(*only, "text_encoder.") == 0);
  CHECK(count(*both, "text_encoder.") > 0);

  const auto images = torch::rand({2, 3, 12, 12});
  const auto loss_reaches = [&](Generator& generator) {
    const auto corrupted = generator.corrupt(generator.encode(images), torch::full({2}, 0.7f),
                                             {.random = Randomness(1)});
    const auto prediction = generator.predict(corrupted, kPrompts, Policy::kTrained, 1);
    generator.error(prediction, corrupted).sum().backward();
    std::int64_t reached = 0;
    for (const auto& one : generator.trainable()) {
      reached += one.value.grad().defined() && one.name.starts_with("text_encoder.");
    }
    return reached;
  };
  CHECK(loss_reaches(*only) == 0);
  CHECK(loss_reaches(*both) > 0);
}

TEST_CASE("Muse with an adapter trains and saves that alone", "[generators][amused]") {
  const auto muse = generators::load_amused(PipelineFolder(pipeline()), torch::kCPU);
  const SampleOptions options{.num_steps = 3, .stochasticity = 1, .keep_trajectory = true};
  const Draws draws{.random = Randomness(3)};
  const auto base = muse->sample(kPrompts, options, draws).log_prob;
  muse->train_adapter(nn::Lora(*muse->network(), "reward", {.rank = 2}, Randomness(5)));
  CHECK(torch::equal(muse->sample(kPrompts, options, draws).log_prob, base));
  {
    const torch::NoGradGuard no_grad;
    for (auto& one : muse->trainable()) {
      CHECK(one.name.find("lora") != std::string::npos);
      one.value.add_(0.3);
    }
  }
  const auto adapted = muse->sample(kPrompts, options, draws).log_prob;
  CHECK_FALSE(torch::equal(adapted, base));
  auto reference = options;
  reference.policy = Policy::kReference;
  CHECK(torch::equal(muse->sample(kPrompts, reference, draws).log_prob, base));

  const ScratchFolder scratch;
  muse->save(scratch / "adapter");
  const auto again = generators::load_amused(PipelineFolder(pipeline()), torch::kCPU);
  const auto adapter =
      nn::Lora::load(*again->network(), "reward", scratch / "adapter", "transformer");
  CHECK(torch::allclose(again->sample(kPrompts, options, draws).log_prob, adapted, 1e-4, 1e-5));
  CHECK(adapter.layers().size() * 2 == muse->trainable().size());
}

TEST_CASE("load_amused reads the schedule and refuses parts that do not fit",
          "[generators][amused]") {
  const ScratchFolder scratch;
  copy_with(scratch / "linear", "scheduler/scheduler_config.json", "masking_schedule", "linear");
  CHECK(generators::load_amused(PipelineFolder(scratch / "linear"), torch::kCPU)
            ->options()
            .schedule == generators::MaskSchedule::kLinear);
  const auto says = [&](const char* name, const char* file, const char* key,
                        const nlohmann::json& value, const char* text) {
    copy_with(scratch / name, file, key, value);
    REQUIRE_THROWS_MATCHES(generators::load_amused(PipelineFolder(scratch / name), torch::kCPU),
                           Error, Says(text));
  };
  says("spelling", "scheduler/scheduler_config.json", "masking_schedule", "sine",
       "masking_schedule must be one of cosine|linear, got 'sine'");
  says("token", "scheduler/scheduler_config.json", "mask_token_id", 17,
       "mask_token_id must be the transformer's last token 20, got 17");
  says("codes", "transformer/config.json", "codebook_size", 16, "mlm_layer.conv2.weight must be");

  auto parts = generators::load_amused_parts(PipelineFolder(pipeline()), torch::kCPU);
  auto options = parts.transformer->options();
  options.codebook_size = 16;
  parts.transformer = generators::UVit2DModel(options);
  REQUIRE_THROWS_MATCHES(generators::make_amused(parts, torch::kCPU), ConfigError,
                         Says("codebook_size of the transformer must be 17, got 16"));
}
