#include "rahf/rl/objectives/registry.h"

#include <algorithm>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/rl/objectives/diffusion_nft.h"
#include "rahf/rl/objectives/direct_gradient.h"
#include "rahf/rl/objectives/policy_gradient.h"
#include "rahf/rl/objectives/preference.h"
#include "rahf/rl/objectives/reward_weighted.h"

namespace rahf::rl {
namespace {

template <class Options, class Algorithm>
class Settings : public ObjectiveSettings {
 public:
  explicit Settings(Options options) : options_(std::move(options)) {}
  std::vector<OptionField> fields(const std::string& prefix) override {
    return option_fields(options_, prefix);
  }
  void validate() const override { options_.validate(); }
  std::unique_ptr<Objective> make(Stage stage) const override {
    return std::make_unique<Algorithm>(options_, std::move(stage));
  }

 private:
  Options options_;
};

template <class Options, class Algorithm>
ObjectiveEntry entry(const char* name, const char* summary, Options options) {
  return {.name = name, .summary = summary, .settings = [options] {
            return std::make_unique<Settings<Options, Algorithm>>(options);
          }};
}

ObjectiveEntry policy_gradient(const char* name, const char* summary,
                               const PolicyGradientOptions& options) {
  return entry<PolicyGradientOptions, PolicyGradient>(name, summary, options);
}

ObjectiveEntry reward_weighted(const char* name, const char* summary,
                               const RewardWeightedOptions& options) {
  return entry<RewardWeightedOptions, RewardWeighted>(name, summary, options);
}

ObjectiveEntry direct_gradient(const char* name, const char* summary,
                               const DirectGradientOptions& options) {
  return entry<DirectGradientOptions, DirectGradient>(name, summary, options);
}

}  // namespace

const std::vector<ObjectiveEntry>& objectives() {
  static const std::vector<ObjectiveEntry> all = {
      policy_gradient(
          "ddpo",
          "policy gradient, clipped, against each prompt's last rewards (DDPO, Black "
          "et al. 2024)",
          {.rollout = {.prompts = 256,
                       .pictures = 1,
                       .steps = 50,
                       .guidance_scale = 5,
                       .stochasticity = 1},
           .advantage = {.baseline = Baseline::kBuffer, .epsilon = 1e-6, .drop_equal = false}}),
      policy_gradient("grpo",
                      "policy gradient against the other pictures of a prompt (DanceGRPO, Xue et "
                      "al. 2025)",
                      {.rollout = {.prompts = 32,
                                   .pictures = 16,
                                   .steps = 50,
                                   .guidance_scale = 5,
                                   .stochasticity = 1},
                       .advantage = {.epsilon = 1e-8, .unbiased = true}}),
      policy_gradient("flow-grpo",
                      "the same with a divergence on step means (Flow-GRPO, Liu et al. 2025)",
                      {.loss = {.kl_weight = 0.04}}),
      policy_gradient("mask-grpo",
                      "policy gradient on the unmasking steps of tokens (Mask-GRPO, 2025)",
                      {.rollout = {.prompts = 8, .pictures = 6, .steps = 50, .guidance_scale = 1},
                       .train_guidance = 1,
                       .advantage = {.epsilon = 1e-4},
                       .loss = {.ratio = Ratio::kSum,
                                .clipping = Clipping::kBatchMinimum,
                                .clip_low = 0.1,
                                .clip_high = 0.2}}),
      policy_gradient(
          "dpok",
          "policy gradient with a divergence and a learnt baseline (DPOK, Fan et al. "
          "2023)",
          {.rollout = {.prompts = 1,
                       .pictures = 10,
                       .steps = 50,
                       .guidance_scale = 7.5,
                       .stochasticity = 1},
           .updates = 5,
           .advantage = {.baseline = Baseline::kNone,
                         .spread = Spread::kNone,
                         .clip = 1e9,
                         .drop_equal = false},
           .loss = {.clipping = Clipping::kClamp, .policy_weight = 10, .kl_weight = 0.01},
           .value = {.on = true}}),
      policy_gradient("mix-grpo",
                      "GRPO on a window of steps that moves on (MixGRPO, Li et al. 2025)",
                      {.rollout = {.prompts = 32,
                                   .pictures = 12,
                                   .steps = 25,
                                   .guidance_scale = 1,
                                   .stochasticity = 0.7},
                       .train_steps = 4,
                       .step_choice = StepChoice::kWindow,
                       .advantage = {.epsilon = 1e-8, .unbiased = true}}),
      reward_weighted("rwr", "own pictures, weighted by softmax of the reward (Black et al. 2024)",
                      {.rollout = {.prompts = 256,
                                   .pictures = 4,
                                   .steps = 50,
                                   .guidance_scale = 5,
                                   .stochasticity = 1},
                       .choosing = {.kind = Choosing::kSoftmax},
                       .memory = 10240,
                       .updates = 1600}),
      reward_weighted("best-of-n",
                      "the base model's pictures, the best of each prompt if good enough (Liang et "
                      "al. 2024, section 5)",
                      {.rollout = {.prompts = 64, .pictures = 8},
                       .offline = true,
                       .first_rounds = 196,
                       .more_rounds = 0,
                       .memory = 1000000}),
      reward_weighted("raft", "own pictures, the best of each prompt (RAFT, Dong et al. 2023)",
                      {.rollout = {.prompts = 48, .pictures = 24}}),
      direct_gradient("refl",
                      "the reward's gradient at one late step, with the model's own loss beside it "
                      "(ReFL, Xu et al. 2023)",
                      {.batch_size = 64,
                       .steps = 40,
                       .guidance_scale = 1,
                       .graph = GraphSteps::kOne,
                       .first_step = 30,
                       .last_step = 39,
                       .loss = RewardLoss::kHinge,
                       .target = 2,
                       .scale = 1e-3,
                       .reference = {.loss_weight = 1}}),
      direct_gradient("draft",
                      "the reward's gradient through the last K steps (DRaFT-K, Clark et al. 2024)",
                      {}),
      direct_gradient("draft-lv", "the last step from several noises (DRaFT-LV, Clark et al. 2024)",
                      {.noise_draws = 2}),
      direct_gradient("align-prop",
                      "the reward's gradient from a random step to the end (AlignProp, Prabhudesai "
                      "et al. 2023)",
                      {.batch_size = 128,
                       .guidance_scale = 5,
                       .stochasticity = 1,
                       .graph = GraphSteps::kRandomLast,
                       .random_mean = 42,
                       .random_std = 5,
                       .detach_state = false,
                       .checkpointing = true,
                       .scale = 0.01}),
      direct_gradient(
          "focus-n-fix",
          "DRaFT that changes only what a heatmap marks (Focus-N-Fix, Xing et al. 2025)",
          {.focus = {.weight = 1}}),
      entry<DiffusionNftOptions, DiffusionNft>(
          "diffusion-nft",
          "towards good and away from bad pictures (DiffusionNFT, Zheng et al. "
          "2025)",
          {}),
      entry<D3poOptions, D3po>("d3po",
                               "preferences on the sampler's steps (D3PO, Yang et al. 2024)", {}),
      entry<DiffusionDpoOptions, DiffusionDpo>(
          "diffusion-dpo",
          "preferences on the forward process (Diffusion-DPO, Wallace et al. 2024)", {}),
  };
  return all;
}

std::string option_prefix(const std::string& objective) {
  auto prefix = objective + '.';
  std::replace(prefix.begin(), prefix.end(), '-', '_');
  return prefix;
}

const ObjectiveEntry& objective(const std::string& name) {
  std::string names;
  for (const auto& one : objectives()) {
    if (one.name == name) return one;
    names += (names.empty() ? "" : ", ") + one.name;
  }
  throw ConfigError("objective must be one of " + names + ", got '" + name + "'");
}

}  // namespace rahf::rl
