#include "rahf/generators/pretrain/generator_training.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <fstream>
#include <string>

#include "coloured_squares.h"
#include "rahf/core/error.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/progress.h"
#include "support/catch.h"
#include "support/scratch.h"
#include "support/toy_generator.h"

using namespace rahf::generators;
using rahf::train::RunIdentity;

namespace {

GeneratorTraining tiny(std::int64_t updates) {
  rahf::Progress::silence(true);
  GeneratorTraining options;
  options.batch_size = 8;
  options.pictures = 40;
  options.check_pictures = 8;
  options.updates = updates;
  options.loop = {.log_every = 5, .check_every = 0, .save_every = 10};
  options.optimisation.schedule = {.learning_rate = .1, .warmup = 0};
  return options;
}

}  // namespace

TEST_CASE("train_generator teaches a generator what its captions show", "[generators][pretrain]") {
  const bool discrete = GENERATE(true, false);
  const ScratchFolder scratch;
  ToyGenerator toy(discrete, {.height = 4, .width = 4});
  const ColouredSquares pictures(8);
  const auto loss = [&] {
    const torch::NoGradGuard no_grad;
    const auto drawn = pictures.at(700, 32);
    const rahf::Draws draws{.random = rahf::Randomness(9)};
    const auto corrupted = toy.corrupt(toy.encode(drawn.images), torch::full({32}, .5), draws);
    const auto prediction =
        toy.predict(corrupted, drawn.prompts, rahf::Policy::kTrained, /*guidance_scale=*/1);
    return toy.error(prediction, corrupted).mean().item<double>();
  };
  const auto before = loss();
  train_generator({.generator = toy}, pictures, tiny(60), {}, {.run = scratch / "run"});
  CHECK(loss() < before);
  CHECK(std::filesystem::exists(scratch / "run/model"));
}

TEST_CASE("train_generator ends with the same weights whether it was stopped or not",
          "[generators][pretrain]") {
  const ScratchFolder scratch;
  const ColouredSquares pictures(8);
  ToyGenerator whole(true, {.height = 4, .width = 4}), first(true, {.height = 4, .width = 4}),
      second(true, {.height = 4, .width = 4});
  train_generator({.generator = whole}, pictures, tiny(20), {}, {.run = scratch / "whole"});
  train_generator({.generator = first}, pictures, tiny(20), {}, {.run = scratch / "parts"});
  std::filesystem::remove(scratch / "parts/checkpoints/00000020.safetensors");
  train_generator({.generator = second}, pictures, tiny(20), {},
                  {.run = scratch / "parts", .resume = true});
  CHECK_FALSE(torch::equal(whole.theta(), torch::zeros_like(whole.theta())));
  CHECK(torch::equal(whole.theta(), second.theta()));
}

TEST_CASE("train_generator refuses to go on with other pictures", "[generators][pretrain]") {
  const ScratchFolder scratch;
  ToyGenerator toy(true, {.height = 4, .width = 4});
  train_generator({.generator = toy}, ColouredSquares(8), tiny(5), {}, {.run = scratch / "run"});
  ToyGenerator larger(true, {.height = 8, .width = 8});
  CHECK_THROWS_MATCHES(train_generator({.generator = larger}, ColouredSquares(16), tiny(5), {},
                                       {.run = scratch / "run", .resume = true}),
                       rahf::ConfigError, Says("pictures"));
}

TEST_CASE("train_generator asks its judge at evaluations and logs what it says",
          "[generators][pretrain]") {
  const ScratchFolder scratch;
  ToyGenerator toy(true, {.height = 4, .width = 4});
  auto options = tiny(10);
  options.loop.check_every = 5;
  int asked = 0;
  const auto judge = [&](rahf::Generator& generator) -> rahf::train::RunLog::Values {
    CHECK(&generator == &toy);
    ++asked;
    return {{"judge/alignment", .25}};
  };
  train_generator({.generator = toy, .judge = judge}, ColouredSquares(8), options, {},
                  {.run = scratch / "run"});
  CHECK(asked == 2);
  std::ifstream in(scratch / "run/metrics.jsonl");
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  CHECK(text.find("\"judge/alignment\":0.25") != std::string::npos);
  CHECK(text.find("\"check/error\"") != std::string::npos);
}
