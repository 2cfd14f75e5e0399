#pragma once

#include <string>
#include <vector>

#include "rahf/core/reward.h"

namespace rahf::reward {

/// How much of a picture has a colour: mean over pixels of exp(-|pixel - colour|^2 / width^2). One
/// score, in closed form and differentiable: what a finetuning algorithm must be able to raise.
///
/// Folder: config.json with "architecture": "ColourShare", "score", "colour": [r, g, b] in [0, 1]
/// and "width".
class ColourReward : public Reward {
 public:
  struct Options {
    std::string score = "colour";
    std::vector<double> colour = {1, 0, 0};  ///< RGB in [0, 1].
    double width = 0.5;                      ///< Of the bell around it; > 0.
  };
  explicit ColourReward(Options options);

  Judgement judge(const torch::Tensor& images, const Prompts& prompts,
                  const Ask& ask = {}) override;
  torch::Device device() const override { return device_; }
  std::vector<std::string> score_names() const override { return {options_.score}; }
  bool differentiable() const override { return true; }
  void to(torch::Device device) { device_ = device; }

 private:
  Options options_;
  torch::Device device_ = torch::kCPU;
};

}  // namespace rahf::reward
