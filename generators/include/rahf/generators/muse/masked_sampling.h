#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "rahf/core/options.h"

// Confidence-masked sampling (MaskGIT, Chang et al. 2022, arXiv 2202.04200), as diffusers'
// AmusedScheduler does it. A grid of tokens is uncovered over T steps: each draws all unknown
// tokens, keeps those drawn with the most confidence and masks the others again. Pure functions;
// every draw is an argument.

namespace rahf::generators {

/// How the share of masked tokens falls with the share r of steps done.
enum class MaskSchedule {
  kCosine,  ///< cos(r pi / 2)
  kLinear,  ///< 1 - r
};

/// What one step needs besides logits and draws.
struct MaskedStep {
  bool last = false;       ///< Keep every token that is drawn.
  double mask_share = 0;   ///< Of the tokens that were masked at the start, after this step.
  double temperature = 0;  ///< On the noise of the choice; >= 0.
};

/// Step i of T: mask_share for r = (i + 1) / T, the temperature on the line from the first to the
/// last step's. Shares are rounded as f32, as the reference does.
struct MaskedSteps {
  MaskSchedule schedule = MaskSchedule::kCosine;
  std::int64_t count = 12;       ///< T; > 0
  double first_temperature = 2;  ///< >= 0
  double last_temperature = 0;   ///< >= 0

  MaskedStep at(std::int64_t step) const;
  /// Share of masked tokens before each step: [T] f32, from 1 down.
  torch::Tensor shares() const;
};

/// The number in [0, V) that each place draws, by the inverse of its distribution's sum.
/// @param log_p    [B, V, h, w] log-probabilities
/// @param uniform  [B, h, w] f32 in [0, 1)
/// @return         [B, h, w] i64
torch::Tensor draw_tokens(const torch::Tensor& log_p, const torch::Tensor& uniform);

/// A state of sampling and why it came about.
struct MaskedState {
  torch::Tensor ids;       ///< [B, h, w] i64, some of them the mask token
  torch::Tensor proposed;  ///< [B, h, w] i64, with every unknown token as it was drawn
  /// [B, h, w] f32: an unknown token v stayed masked if log p(v) was below this, which is the
  /// confidence of the least that was kept, without this place's noise. -inf in the last step.
  torch::Tensor log_threshold;
};

/// One step of sampling. The confidence of an unknown token is
/// log p(drawn) + temperature * gumbel, gumbel = -log(-log u); the n least confident are masked
/// again, n = max(1, min(unknown - 1, floor(S share start))), S = h w. Known tokens stay.
/// @param log_p  [B, V, h, w] f32 log-probabilities
/// @param ids    [B, h, w] i64; where it is `mask_token` it is unknown
/// @param drawn  [B, h, w] i64 in [0, V), a draw at every place
/// @param noise  [B, h, w] f32 in [0, 1), u
/// @param start  [B] f32 share of tokens masked at the start, or undefined for all
MaskedState masked_step(const torch::Tensor& log_p, const torch::Tensor& ids,
                        const torch::Tensor& drawn, const torch::Tensor& noise,
                        const MaskedStep& step, std::int64_t mask_token,
                        const torch::Tensor& start = {});

/// The two ends of a step.
struct MaskedTransition {
  torch::Tensor before, after;  ///< [B, h, w] i64
  torch::Tensor log_threshold;  ///< [B, h, w] f32, MaskedState's
};

/// Log-probability of what a step did at each place (Mask-GRPO, arXiv 2510.13418): log p(id) where
/// it uncovered a token, the log of the mass of all v with log p(v) < log_threshold where one
/// stayed masked (at least log 1e-20), and 0 where the token was known. Without noise the threshold
/// is one number, the least confidence kept, as it is published; with noise each place has its own.
/// @param log_p  [B, V, h, w] f32; a gradient flows to it
/// @return       [B, h, w] f32
torch::Tensor masked_step_log_prob(const torch::Tensor& log_p, const MaskedTransition& transition,
                                   std::int64_t mask_token);

/// Masks n = max(1, round(S level)) tokens of each grid, those with the least noise.
/// @param ids    [B, h, w] i64  @param level  [B] f32 in [0, 1]
/// @param noise  [B, h, w] f32
torch::Tensor mask_tokens(const torch::Tensor& ids, const torch::Tensor& level,
                          const torch::Tensor& noise, std::int64_t mask_token);

}  // namespace rahf::generators

template <>
struct rahf::EnumNames<rahf::generators::MaskSchedule> {
  using E = rahf::generators::MaskSchedule;
  static constexpr std::array<std::pair<E, std::string_view>, 2> value = {
      {{E::kCosine, "cosine"}, {E::kLinear, "linear"}}};
};
