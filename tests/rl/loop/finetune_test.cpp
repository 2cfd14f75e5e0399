#include "rahf/rl/loop/finetune.h"

#include <torch/types.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rahf/core/error.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/progress.h"
#include "support/catch.h"
#include "support/red_reward.h"
#include "support/scratch.h"
#include "support/toy_generator.h"

using rahf::rl::finetune;
using rahf::rl::FinetuneOptions;
using rahf::rl::ObjectiveSettings;

namespace {

const rahf::Prompts kPrompts = {{"red circle"}, {"blue circle"}, {"red star"}, {"blue star"}};

void set(ObjectiveSettings& settings, const std::map<std::string, std::string>& values) {
  auto fields = settings.fields();
  for (const auto& [name, value] : values) {
    const auto found = std::find_if(fields.begin(), fields.end(),
                                    [&, &key = name](const auto& f) { return f.name == key; });
    if (found != fields.end()) found->set(value);
  }
}

// Sizes in which a toy learns in a moment. What an objective does not have is not set.
std::unique_ptr<ObjectiveSettings> small(const std::string& name) {
  auto settings = rahf::rl::objective(name).settings();
  set(*settings, {{"rollout.prompts", "4"},
                  {"rollout.pictures", "6"},
                  {"rollout.steps", "3"},
                  {"rollout.guidance_scale", "1"},
                  {"rollout.batch_size", "9"},
                  {"advantage.buffer_size", "24"},
                  {"advantage.buffer_min", "12"},
                  {"loss.clip_low", "0.2"},
                  {"loss.clip_high", "0.2"},
                  {"train_steps", name == "mix-grpo" ? "2" : "0"},
                  {"updates", "2"},
                  {"first_rounds", "3"},
                  {"memory", "200"},
                  {"choosing.inverse_temperature", "20"},
                  {"batch_size", "8"},
                  {"micro_batch", "5"},
                  {"steps", "3"},
                  {"guidance_scale", "1"},
                  {"graph_steps", "2"},
                  {"random_mean", "1"},
                  {"random_std", "1"},
                  {"first_step", "1"},
                  {"last_step", "2"},
                  {"target", "2"},
                  {"scale", "1"},
                  {"beta", name == "diffusion-nft" ? "1" : "10"},
                  {"ratio_clamp", "0.5"},
                  {"reference.loss_weight", name == "refl" ? "0.1" : "0"},
                  {"focus.weight", name == "focus-n-fix" ? "0.1" : "0"},
                  {"reference.anchor_weight", name == "draft" ? "0.01" : "0"}});
  if (name == "rwr" || name == "raft" || name == "best-of-n") set(*settings, {{"updates", "4"}});
  return settings;
}

FinetuneOptions options_for(const std::string& name, std::int64_t updates) {
  FinetuneOptions options{.objective = name, .updates = updates, .seed = 3};
  options.save_every = 4;
  options.keep = 100;
  options.scoring = {.terms = {"red"}, .weights = {1}, .batch_size = 7};
  options.follow = {.every = 8, .pictures = 8, .batch_size = 11, .steps = 3};
  options.optimisation.schedule.learning_rate = 0.1;
  options.optimisation.schedule.decay = rahf::train::Decay::kCosine;
  options.optimisation.ema = 0.5;
  return options;
}

struct Trained {
  rahf::rl::FinetuneResult result;
  torch::Tensor theta;  ///< As saved.
};

Trained train(const std::string& name, bool discrete, std::int64_t updates,
              const std::filesystem::path& run, bool resume = false, int fail_at_call = 0) {
  class Failing : public RedReward {
   public:
    explicit Failing(int at) : at_(at) {}
    rahf::Judgement judge(const torch::Tensor& images, const rahf::Prompts& prompts,
                          const rahf::Ask& ask) override {
      if (calls + 1 == at_) throw std::runtime_error("power cut");
      return RedReward::judge(images, prompts, ask);
    }

   private:
    int at_;
  };
  ToyGenerator toy(discrete);
  toy.start_from(torch::full({3, 2, 3}, -0.3F));
  Failing reward(fail_at_call);
  rahf::Progress::silence(true);
  const auto settings = small(name);
  Trained trained;
  trained.result = finetune(options_for(name, updates), *settings,
                            {.generator = toy,
                             .reward = reward,
                             .prompts = kPrompts,
                             .held_out = {{"red moon"}, {"blue moon"}}},
                            {.run = run, .resume = resume});
  trained.theta =
      rahf::io::read_safetensors(run / "model" / "theta.safetensors").tensors.at("theta");
  return trained;
}

std::vector<std::string> defined_for(bool discrete) {
  std::vector<std::string> names;
  for (const auto& one : rahf::rl::objectives()) {
    const bool needs_latents = one.name == "refl" || one.name.starts_with("draft") ||
                               one.name == "align-prop" || one.name == "focus-n-fix" ||
                               one.name == "diffusion-nft";
    if (!discrete || !needs_latents) names.push_back(one.name);
  }
  return names;
}

}  // namespace

TEST_CASE("finetune raises the reward with every objective", "[rl][finetune]") {
  const bool discrete = GENERATE(false, true);
  for (const auto& name : defined_for(discrete)) {
    CAPTURE(name, discrete);
    const ScratchFolder scratch;
    const auto trained = train(name, discrete, 40, scratch / "run");
    CHECK(trained.result.updates == 40);
    REQUIRE(trained.result.before.size() == 1);
    CHECK(trained.result.before.front().first == "held_out/red");
    CHECK(trained.result.after.front().second > trained.result.before.front().second + 0.03);
    for (const auto* file : {"before.png", "after.png", "run.cfg", "metrics.jsonl"}) {
      CHECK(std::filesystem::exists(scratch / "run" / file));
    }
  }
}

TEST_CASE("a finetuning run that is cut off and resumed ends as one that was not",
          "[rl][finetune]") {
  const bool discrete = GENERATE(false, true);
  for (const auto& name : defined_for(discrete)) {
    CAPTURE(name, discrete);
    const ScratchFolder scratch;
    const auto whole = train(name, discrete, 16, scratch / "whole");
    const auto again = train(name, discrete, 16, scratch / "again");
    CHECK(torch::equal(whole.theta, again.theta));

    // Somewhere in the second half; best-of-n judges all it needs before the first update, and is
    // then followed alone.
    const int call = name == "best-of-n" ? 17 : name == "draft-lv" ? 40 : 25;
    CHECK_THROWS_WITH(train(name, discrete, 16, scratch / "cut", false, call), "power cut");
    const auto resumed = train(name, discrete, 16, scratch / "cut", true);
    CHECK(torch::equal(whole.theta, resumed.theta));
    CHECK(whole.result.after == resumed.result.after);
  }
}

TEST_CASE("finetune says why an objective is not defined", "[rl][finetune]") {
  const ScratchFolder scratch;
  CHECK_THROWS_MATCHES(train("draft", true, 4, scratch / "a"), rahf::ConfigError,
                       Says("sampled tokens have no gradient"));
  CHECK_THROWS_MATCHES(train("diffusion-nft", true, 4, scratch / "b"), rahf::ConfigError,
                       Says("this one predicts tokens"));
  CHECK_FALSE(std::filesystem::exists(scratch / "a"));

  ToyGenerator toy(false);
  RedReward reward(/*differentiable=*/false);
  const auto settings = small("draft");
  CHECK_THROWS_MATCHES(
      finetune(options_for("draft", 4), *settings,
               {.generator = toy, .reward = reward, .prompts = kPrompts}, {.run = scratch / "c"}),
      rahf::ConfigError, Says("the reward must be differentiable"));
  const auto still = small("ddpo");
  set(*still, {{"rollout.stochasticity", "0"}});
  CHECK_THROWS_MATCHES(
      finetune(options_for("ddpo", 4), *still,
               {.generator = toy, .reward = reward, .prompts = kPrompts}, {.run = scratch / "d"}),
      rahf::ConfigError, Says("rollout.stochasticity must be > 0"));
  CHECK_THROWS_MATCHES(rahf::rl::objective("ppo"), rahf::ConfigError,
                       Says("objective must be one of ddpo, grpo"));
}

TEST_CASE("finetune refuses what a reward must not answer, and what it cannot use",
          "[rl][finetune]") {
  const ScratchFolder scratch;
  ToyGenerator toy(false);
  RedReward reward;
  const auto settings = small("grpo");
  auto options = options_for("grpo", 4);
  const auto start = toy.theta().detach().clone();
  const auto run = [&] {
    finetune(options, *settings, {.generator = toy, .reward = reward, .prompts = kPrompts},
             {.run = scratch / "run", .resume = true});
  };
  SECTION("a number that is not one") {
    reward.fault = RedReward::Fault::kNan;
    CHECK_THROWS_MATCHES(run(), rahf::NonFiniteError, Says("reward: red must be finite, got"));
    CHECK(torch::equal(toy.theta(), start));
  }
  SECTION("too few scores") {
    reward.fault = RedReward::Fault::kShape;
    CHECK_THROWS_MATCHES(run(), rahf::ShapeError, Says("scores"));
  }
  SECTION("a score that it has not") {
    options.scoring.terms = {"beauty"};
    CHECK_THROWS_MATCHES(run(), rahf::ConfigError, Says("(red, pale) or heatmaps, got 'beauty'"));
  }
  SECTION("a map that it has not") {
    options.scoring.terms = {"misalignment"};
    CHECK_THROWS_MATCHES(run(), rahf::ConfigError, Says("gives no heatmap of misalignment"));
  }
  SECTION("no prompts") {
    CHECK_THROWS_MATCHES(
        finetune(options, *settings, {.generator = toy, .reward = reward, .prompts = {}},
                 {.run = scratch / "run"}),
        rahf::ConfigError, Says("at least one prompt is needed"));
  }
}

TEST_CASE("a resumed finetuning run must have the same options", "[rl][finetune]") {
  const ScratchFolder scratch;
  train("grpo", true, 4, scratch / "run");
  ToyGenerator toy(true);
  RedReward reward;
  const auto settings = small("grpo");
  set(*settings, {{"rollout.pictures", "8"}});
  CHECK_THROWS_MATCHES(finetune(options_for("grpo", 4), *settings,
                                {.generator = toy, .reward = reward, .prompts = kPrompts},
                                {.run = scratch / "run", .resume = true}),
                       rahf::ConfigError, Says("rollout.pictures"));
}

TEST_CASE("finetune stops when there is nothing to learn from", "[rl][finetune]") {
  const ScratchFolder scratch;
  ToyGenerator toy(true);
  toy.start_from(torch::full({3, 2, 3}, 50.F));  // always arm 1
  RedReward reward;
  const auto settings = small("grpo");
  CHECK_THROWS_MATCHES(
      finetune(options_for("grpo", 80), *settings,
               {.generator = toy, .reward = reward, .prompts = kPrompts}, {.run = scratch / "run"}),
      rahf::Error, Says("20 in a row without"));
}

TEST_CASE("how an update is split into pieces changes nothing but rounding", "[rl][finetune]") {
  const auto name =
      GENERATE("ddpo", "flow-grpo", "rwr", "draft", "diffusion-nft", "d3po", "diffusion-dpo");
  std::vector<torch::Tensor> thetas;
  for (const auto* micro_batch : {"2", "100"}) {
    const ScratchFolder scratch;
    ToyGenerator toy(false);
    RedReward reward;
    const auto settings = small(name);
    set(*settings, {{"micro_batch", micro_batch}});
    auto options = options_for(name, 4);
    options.optimisation.clip_norm = 0;
    options.optimisation.ema = 0;
    finetune(options, *settings, {.generator = toy, .reward = reward, .prompts = kPrompts},
             {.run = scratch / "run"});
    thetas.push_back(toy.theta().detach().clone());
  }
  CAPTURE(name);
  CHECK(torch::allclose(thetas[0], thetas[1], 1e-3, 1e-3));
  CHECK(thetas[0].abs().max().item<float>() > 0.01F);
}

TEST_CASE("weighting maps at strength 0 leave training bit for bit as it is", "[rl][finetune]") {
  const auto name = GENERATE("grpo", "raft", "diffusion-nft", "d3po", "diffusion-dpo");
  const auto theta = [&](const char* strength) {
    const ScratchFolder scratch;
    ToyGenerator toy(false);
    RedReward reward;
    const auto settings = small(name);
    set(*settings, {{"map.source", "implausibility"}, {"map.strength", strength}});
    finetune(options_for(name, 4), *settings,
             {.generator = toy, .reward = reward, .prompts = kPrompts}, {.run = scratch / "run"});
    return toy.theta().detach().clone();
  };
  CAPTURE(name);
  CHECK_FALSE(torch::equal(theta("0"), theta("1")));
  // So little that every weight is 1, but computed.
  CHECK(torch::equal(theta("0"), theta("1e-30")));
}
