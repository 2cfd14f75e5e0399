#pragma once

#include <string>
#include <vector>

#include "rahf/core/reward.h"

namespace rahf {

/// A reward that is answered by one and checked against another: a new device, element type or
/// backend beside the one that is trusted. Every judgement costs both.
///
/// judge() gives what `reward` says, after comparing it with what `reference` says of the same
/// pictures. Differences are compared without a gradient, on the CPU. Holds references to both,
/// which must outlive it.
class CheckReward : public Reward {
 public:
  /// @param tolerance  largest |difference| of a value that passes; >= 0. Decoded words, being
  ///                   flags, must be equal.
  /// @throws ConfigError if the two do not name the same scores.
  CheckReward(Reward& reward, Reward& reference, double tolerance);

  /// @throws Error naming the output, the picture's number, both values and the tolerance.
  Judgement judge(const torch::Tensor& images, const Prompts& prompts,
                  const Ask& ask = {}) override;
  torch::Device device() const override { return reward_.device(); }
  std::int64_t input_size() const override { return reward_.input_size(); }
  std::vector<std::string> score_names() const override { return reward_.score_names(); }
  bool differentiable() const override { return reward_.differentiable(); }

  /// Largest |difference| so far.
  double largest() const { return largest_; }

 private:
  void compare(const char* output, const torch::Tensor& got, const torch::Tensor& expected);

  Reward& reward_;
  Reward& reference_;
  double tolerance_;
  double largest_ = 0;
};

}  // namespace rahf
