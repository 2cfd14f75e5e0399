#pragma once

#include <torch/types.h>

#include <cstdint>

#include "rahf/core/generator.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/options.h"

namespace rahf::rl {

/// DPOK trains a network to predict a picture's reward from a state on the way, its time and its
/// prompt, and subtracts the prediction. Here it is a ridge regression over the last pictures,
/// solved anew each round: it has no rate to tune, and no state but the pictures' features.
struct ValueBaselineOptions {
  bool on = false;
  std::int64_t memory = 1000;
  double ridge = 1e-2;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("on", self.on, "subtract a prediction of the reward made from state, time and prompt");
    visit("memory", self.memory, "pictures that it is fitted on; > 0");
    visit("ridge", self.ridge, "weight of the coefficients' squares, per picture; > 0");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Expected reward of a state: V(x_t, t, prompt) = features . coefficients, where the features are
/// 1, t / T, mean and spread of each channel of x_t (of ids: the share decided), these times t / T,
/// and a hash of the prompt into 32 places.
class ValueBaseline {
 public:
  explicit ValueBaseline(ValueBaselineOptions options) : options_(options) {}

  /// Remembers the pictures of a round, and fits.
  /// @param rewards  [B] f32
  void fit(const Rollout& rollout, const torch::Tensor& rewards);
  /// @param steps  [B, S] i64  @return [B, S] f32 on the CPU; 0 before the first fit()
  torch::Tensor predict(const Rollout& rollout, const torch::Tensor& steps) const;

  io::TensorMap state() const;
  void load_state(const io::TensorMap& state);

 private:
  void solve();

  ValueBaselineOptions options_;
  torch::Tensor features_;      ///< [M, T, F] f32
  torch::Tensor rewards_;       ///< [M] f32
  torch::Tensor coefficients_;  ///< [F] f64
};

}  // namespace rahf::rl
