#include "picture_judge.h"

#include <ATen/core/grad_mode.h>

#include "rahf/core/reward.h"
#include "rahf/reward/model/registry.h"
#include "rahf/world/verdict.h"

namespace rahf::program {
namespace {

class InspectorJudge : public PictureJudge {
 public:
  std::vector<std::string> score_names() const override {
    return {"plausibility", "alignment", "aesthetics"};
  }
  torch::Tensor scores(const torch::Tensor& images, const Prompts& prompts) const override {
    const auto verdicts = world::inspect_all(inspector_, images, prompts);
    auto all = torch::empty({static_cast<std::int64_t>(verdicts.size()), 3}, torch::kDouble);
    auto* row = all.data_ptr<double>();
    for (const auto& said : verdicts) {
      *row++ = said.plausibility;
      *row++ = said.alignment;
      *row++ = said.aesthetics;
    }
    return all;
  }

 private:
  world::Inspector inspector_;
};

class RewardJudge : public PictureJudge {
 public:
  RewardJudge(std::unique_ptr<Reward> reward, torch::Device device)
      : reward_(std::move(reward)), device_(device) {}

  std::vector<std::string> score_names() const override { return reward_->score_names(); }
  torch::Tensor scores(const torch::Tensor& images, const Prompts& prompts) const override {
    constexpr std::int64_t kTogether = 32;
    const torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> all;
    for (std::int64_t first = 0; first < images.size(0); first += kTogether) {
      const auto last = std::min(images.size(0), first + kTogether);
      const auto judgement =
          reward_->judge(images.slice(0, first, last).to(device_),
                         Prompts(prompts.begin() + first, prompts.begin() + last),
                         {.scores = true, .maps = false, .words = false});
      all.push_back(judgement.scores.to(torch::kCPU, torch::kDouble));
    }
    return torch::cat(all);
  }

 private:
  std::unique_ptr<Reward> reward_;
  torch::Device device_;
};

}  // namespace

std::unique_ptr<PictureJudge> load_judge(const std::string& name, torch::Device device) {
  if (name == "inspector") return std::make_unique<InspectorJudge>();
  return std::make_unique<RewardJudge>(reward::load_reward(name, device), device);
}

}  // namespace rahf::program
