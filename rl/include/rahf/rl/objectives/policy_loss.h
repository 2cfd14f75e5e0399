#pragma once

#include <torch/types.h>

#include <array>
#include <string_view>
#include <utility>

#include "rahf/core/options.h"

namespace rahf::rl {

/// How a step's log-probabilities per location become ratios of new over old probability.
enum class Ratio {
  kMean,      ///< One a picture, of the mean over locations: DDPO, GRPO.
  kSum,       ///< One a picture, of the sum over locations: the step as a whole, as Mask-GRPO.
  kLocation,  ///< One a location, with the value of kMean and the location's own gradient, as
              ///< DenseFlow-GRPO: for advantages per location.
};

/// How far a ratio counts.
enum class Clipping {
  kPessimistic,   ///< PPO: mean of max(-A r, -A clip(r)).
  kClamp,         ///< DPOK: -A clip(r); a clipped ratio has no gradient.
  kBatchMinimum,  ///< Mask-GRPO: -min(mean A r, mean A clip(r)), the means over the pictures of a
                  ///< piece at one step.
};

struct PolicyLossOptions {
  Ratio ratio = Ratio::kMean;
  Clipping clipping = Clipping::kPessimistic;
  double clip_low = 1e-4;
  double clip_high = 1e-4;
  bool decided_only = false;
  double policy_weight = 1;
  double kl_weight = 0;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("ratio", self.ratio, "how log-probabilities per location become a ratio");
    visit("clipping", self.clipping, "how far a ratio counts");
    visit("clip_low", self.clip_low, "a ratio is clipped below 1 minus this; in (0, 1]");
    visit("clip_high", self.clip_high, "a ratio is clipped above 1 plus this; > 0");
    visit("decided_only", self.decided_only,
          "leave out locations that a step left undecided (tokens that stay masked)");
    visit("policy_weight", self.policy_weight, "of the term with the advantages; > 0");
    visit("kl_weight", self.kl_weight, "of the divergence from the reference; >= 0");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// B pictures at S steps each, on a grid.
struct PolicyTerms {
  torch::Tensor log_prob;      ///< [B, S, h, w] f32, of the policy that is trained
  torch::Tensor old_log_prob;  ///< [B, S, h, w] f32, of the policy that sampled
  torch::Tensor kl;            ///< [B, S, h, w] f32; needed if kl_weight > 0
  torch::Tensor decided;       ///< [B, S, h, w] bool; needed if decided_only
  torch::Tensor advantages;    ///< [B, S] f32, or [B, S, h, w] for Ratio::kLocation
  torch::Tensor weights;       ///< [B, h, w] f32, mean 1 a picture; undefined weighs all alike
};

struct PolicyLoss {
  torch::Tensor loss;           ///< [B, S] f32, with a gradient
  torch::Tensor ratio;          ///< [] f32, mean
  torch::Tensor clip_fraction;  ///< [] f32, share of ratios beyond the range
  torch::Tensor approx_kl;      ///< [] f32, mean of (log r)^2 / 2: how far this round has gone
  torch::Tensor kl;             ///< [] f32, mean divergence from the reference; or undefined
};

/// Policy-gradient loss per picture and step:
///
///     log r = mean over locations of w (log p - log p_old)       (or their sum)
///     loss = policy_weight max(-A r, -A clip(r, 1 - clip_low, 1 + clip_high))
///            + kl_weight mean over locations of kl
///
/// DDPO (Black et al. 2024, arXiv 2305.13301), Flow-GRPO (Liu et al. 2025, arXiv 2505.05470),
/// DPOK (Fan et al. 2023, arXiv 2305.16381), Mask-GRPO (2025). Without weights it is bit for bit
/// what it is with weights of one.
PolicyLoss policy_loss(const PolicyTerms& terms, const PolicyLossOptions& options);

}  // namespace rahf::rl

template <>
struct rahf::EnumNames<rahf::rl::Ratio> {
  using Ratio = rahf::rl::Ratio;
  static constexpr std::array<std::pair<Ratio, std::string_view>, 3> value = {
      {{Ratio::kMean, "mean"}, {Ratio::kSum, "sum"}, {Ratio::kLocation, "location"}}};
};

template <>
struct rahf::EnumNames<rahf::rl::Clipping> {
  using Clipping = rahf::rl::Clipping;
  static constexpr std::array<std::pair<Clipping, std::string_view>, 3> value = {
      {{Clipping::kPessimistic, "pessimistic"},
       {Clipping::kClamp, "clamp"},
       {Clipping::kBatchMinimum, "batch-minimum"}}};
};
