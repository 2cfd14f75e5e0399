#include "rahf/reward/model/colour_reward.h"

#include <torch/types.h>

#include <utility>

#include "rahf/core/error.h"

namespace rahf::reward {

ColourReward::ColourReward(Options options) : options_(std::move(options)) {
  if (options_.colour.size() != 3 || !(options_.width > 0)) {
    throw ConfigError("ColourReward: colour must be three numbers and width > 0");
  }
}

Judgement ColourReward::judge(const torch::Tensor& images, const Prompts& prompts, const Ask& ask) {
  check_pictures("ColourReward::judge", images, prompts, device_);
  Judgement judgement;
  if (!ask.scores) return judgement;
  const auto colour =
      torch::tensor(options_.colour, torch::kFloat).view({1, 3, 1, 1}).to(images.device());
  const auto distance = (images - colour).square().sum(1);  // [B, H, W]
  const auto share = (-distance / (options_.width * options_.width)).exp().mean({1, 2});
  judgement.scores = share.unsqueeze(1);
  return judgement;
}

}  // namespace rahf::reward
