#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rahf/core/io/safetensors.h"
#include "rahf/core/options.h"
#include "rahf/core/prompt.h"

namespace rahf::rl {

/// What a picture's reward is compared with.
enum class Baseline {
  kGroup,   ///< The pictures of the same prompt in this round (GRPO).
  kBuffer,  ///< The last pictures of the same prompt over all rounds (DDPO); the round until there
            ///< are enough.
  kBatch,   ///< All pictures of this round.
  kNone,    ///< 0: rewards as they are (DPOK subtracts a learnt baseline instead).
};

/// What the difference is divided by.
enum class Spread {
  kSame,   ///< The standard deviation of what it is compared with.
  kBatch,  ///< That of all pictures of this round (Flow-GRPO).
  kNone,   ///< 1: rewards keep their scale.
};

/// A = clip((r - mean) / (std + epsilon), -clip, clip)
///
/// The first reward of a group is subtracted before its mean is taken: equal rewards give exactly
/// 0, not a rounding error over epsilon.
struct AdvantageOptions {
  Baseline baseline = Baseline::kGroup;
  Spread spread = Spread::kSame;
  double epsilon = 1e-4;
  double clip = 5;
  bool unbiased = false;
  std::int64_t buffer_size = 32;
  std::int64_t buffer_min = 16;
  bool drop_equal = true;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("baseline", self.baseline, "what a reward is compared with");
    visit("spread", self.spread, "standard deviation that the difference is divided by");
    visit("epsilon", self.epsilon, "added to the standard deviation; > 0");
    visit("clip", self.clip, "largest advantage, either sign; > 0");
    visit("unbiased", self.unbiased, "standard deviations over n - 1 instead of n");
    visit("buffer_size", self.buffer_size, "rewards kept per prompt (baseline buffer); > 0");
    visit("buffer_min", self.buffer_min,
          "rewards of a prompt below which the round is the baseline; in (0, buffer_size]");
    visit("drop_equal", self.drop_equal,
          "leave out groups whose rewards are all equal: they teach nothing");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// The last rewards of every prompt, over rounds: DDPO's tracker. A state of the run.
class PromptRewards {
 public:
  void add(const std::string& prompt, double reward, std::int64_t size);
  /// Empty for a prompt never seen.
  const std::deque<double>& of(const std::string& prompt) const;

  io::TensorMap state() const;
  void load_state(const io::TensorMap& state);

 private:
  std::map<std::string, std::deque<double>> rewards_;
};

struct Advantages {
  torch::Tensor values;  ///< [N] f32
  torch::Tensor rows;    ///< [R] i64, those to learn from: all, or without groups of equal rewards
  double group_std = 0;  ///< Mean over groups of the standard deviation within.
  double equal_share = 0;  ///< Share of groups whose rewards are all equal.
};

/// Advantages of N pictures, on the CPU in double precision.
/// @param rewards  [N] f32, finite
/// @param prompts  N; those with equal text are a group
/// @param seen     gets the rewards, and gives the baseline if it is the buffer
/// @throws ShapeError, or NonFiniteError naming the first picture whose reward is not finite.
Advantages advantages(const torch::Tensor& rewards, const Prompts& prompts,
                      const AdvantageOptions& options, PromptRewards& seen);

/// The same for K rewards a picture: each becomes advantages of its own, so that none outweighs
/// another by its scale, then they are added up by weight, and clipped as one.
/// @param rewards  [N, K] f32
/// @param weights  K of them
/// @param seen     K of them
Advantages advantages(const torch::Tensor& rewards, const std::vector<double>& weights,
                      const Prompts& prompts, const AdvantageOptions& options,
                      std::vector<PromptRewards>& seen);

}  // namespace rahf::rl

template <>
struct rahf::EnumNames<rahf::rl::Baseline> {
  using Baseline = rahf::rl::Baseline;
  static constexpr std::array<std::pair<Baseline, std::string_view>, 4> value = {
      {{Baseline::kGroup, "group"},
       {Baseline::kBuffer, "buffer"},
       {Baseline::kBatch, "batch"},
       {Baseline::kNone, "none"}}};
};

template <>
struct rahf::EnumNames<rahf::rl::Spread> {
  using Spread = rahf::rl::Spread;
  static constexpr std::array<std::pair<Spread, std::string_view>, 3> value = {
      {{Spread::kSame, "same"}, {Spread::kBatch, "batch"}, {Spread::kNone, "none"}}};
};
