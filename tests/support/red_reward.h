#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "rahf/core/reward.h"

/// A reward that can be worked by hand: how red pictures are, and how little. Its heatmap of what
/// is implausible marks what is not red. It counts its calls, and can be told to go wrong.
class RedReward : public rahf::Reward {
 public:
  enum class Fault { kNone, kNan, kShape };

  explicit RedReward(bool differentiable = true) : differentiable_(differentiable) {}

  rahf::Judgement judge(const torch::Tensor& images, const rahf::Prompts&,
                        const rahf::Ask& ask = {}) override {
    ++calls;
    const auto red = images.select(1, 0);  // [B, H, W]
    const auto mean = red.mean({1, 2});
    rahf::Judgement judgement;
    judgement.scores = torch::stack({mean, 1 - mean}, 1);
    if (fault == Fault::kNan) judgement.scores = judgement.scores / 0 * 0;
    if (fault == Fault::kShape) judgement.scores = mean.unsqueeze(1);
    if (ask.maps) judgement.implausibility = 1 - red;
    return judgement;
  }
  std::vector<std::string> score_names() const override { return {"red", "pale"}; }
  torch::Device device() const override { return torch::kCPU; }
  bool differentiable() const override { return differentiable_; }

  int calls = 0;
  Fault fault = Fault::kNone;

 private:
  bool differentiable_;
};
