#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rahf/core/reward.h"

/// A reward that can be worked by hand: the scores are the mean red, green, blue and grey of the
/// picture, the maps its red and blue, and a word is misaligned if it begins with "no".
class ToyReward : public rahf::Reward {
 public:
  explicit ToyReward(std::int64_t input_size = 0) : input_size_(input_size) {}

  rahf::Judgement judge(const torch::Tensor& images, const rahf::Prompts& prompts,
                        const rahf::Ask& = {}) override {
    batch_sizes.push_back(images.size(0));
    rahf::Judgement judgement;
    const auto means = images.mean({2, 3});  // [B, 3]
    judgement.scores = torch::cat({means, means.mean(1, /*keepdim=*/true)}, 1);
    judgement.implausibility = images.select(1, 0);
    judgement.misalignment = images.select(1, 2);
    judgement.words = rahf::lay_out_words(prompts, torch::kCPU);
    const auto& text = judgement.words.text;
    judgement.words.misaligned = judgement.words.mask.to(torch::kFloat) * 0.25;
    for (std::size_t b = 0; b < text.size(); ++b) {
      for (std::size_t w = 0; w < text[b].size(); ++w) {
        if (text[b][w].starts_with("no")) judgement.words.misaligned[b][w] = 0.75;
      }
    }
    return judgement;
  }
  torch::Device device() const override { return torch::kCPU; }
  std::int64_t input_size() const override { return input_size_; }
  std::vector<std::string> score_names() const override {
    return {rahf::kScoreNames.begin(), rahf::kScoreNames.end()};
  }
  bool differentiable() const override { return true; }

  std::vector<std::int64_t> batch_sizes;  ///< Of the calls so far.

 private:
  std::int64_t input_size_;
};
