#pragma once

#include <array>

#include "rahf/core/reward.h"

namespace rahf::reward {

/// Says the same of every picture. The mean of the training data is what any model must beat.
class ConstantReward : public Reward {
 public:
  struct Options {
    std::array<double, 4> scores = {.5, .5, .5, .5};  ///< In kScoreNames order, in [0, 1].
    std::array<double, 2> heat = {0, 0};  ///< Of each map, in kMapNames order, in [0, 1].
    double misaligned = 0;                ///< P(misaligned) of every word, in [0, 1].
  };
  explicit ConstantReward(Options options) : options_(options) {}

  Judgement judge(const torch::Tensor& images, const Prompts& prompts,
                  const Ask& ask = {}) override;
  std::vector<std::string> score_names() const override;
  torch::Device device() const override { return torch::kCPU; }
  bool differentiable() const override { return false; }

 private:
  Options options_;
};

/// Marks in both maps every pixel that is not of the picture's most frequent colour, and calls all
/// words misaligned; gives no scores. A map that means something must beat it.
class ColouredPixelsReward : public Reward {
 public:
  /// @param threshold  largest difference of a channel from the most frequent colour that still
  ///                   counts as background; in [0, 1]
  explicit ColouredPixelsReward(double threshold = .1) : threshold_(threshold) {}

  Judgement judge(const torch::Tensor& images, const Prompts& prompts,
                  const Ask& ask = {}) override;
  std::vector<std::string> score_names() const override { return {}; }
  torch::Device device() const override { return torch::kCPU; }
  bool differentiable() const override { return false; }

 private:
  double threshold_;
};

}  // namespace rahf::reward
