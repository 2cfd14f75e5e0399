#include "rahf/rl/objectives/policy_loss.h"

#include <torch/types.h>

#include <string>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::rl {

void PolicyLossOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("PolicyLossOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("clip_low", clip_low, clip_low > 0 && clip_low <= 1, "in (0, 1]");
  check("clip_high", clip_high, clip_high > 0, "> 0");
  check("policy_weight", policy_weight, policy_weight > 0, "> 0");
  check("kl_weight", kl_weight, kl_weight >= 0, ">= 0");
}

PolicyLoss policy_loss(const PolicyTerms& terms, const PolicyLossOptions& options) {
  Shapes shapes("policy_loss");
  shapes.check("log_prob", terms.log_prob, {"B", "S", "h", "w"}, torch::kFloat);
  shapes.check("old_log_prob", terms.old_log_prob, {"B", "S", "h", "w"}, torch::kFloat);
  const bool per_location = options.ratio == Ratio::kLocation;
  if (terms.advantages.dim() == 4) {
    shapes.check("advantages", terms.advantages, {"B", "S", "h", "w"}, torch::kFloat);
    if (!per_location) {
      throw ConfigError("policy_loss: advantages per location need ratio = location");
    }
  } else {
    shapes.check("advantages", terms.advantages, {"B", "S"}, torch::kFloat);
  }

  auto log_prob = terms.log_prob, old_log_prob = terms.old_log_prob;
  if (options.decided_only) {
    shapes.check("decided", terms.decided, {"B", "S", "h", "w"}, torch::kBool);
    const auto left = terms.decided.logical_not();
    log_prob = log_prob.masked_fill(left, 0);
    old_log_prob = old_log_prob.masked_fill(left, 0);
  }
  auto difference = log_prob - old_log_prob;  // [B, S, h, w]
  if (terms.weights.defined()) {
    shapes.check("weights", terms.weights, {"B", "h", "w"}, torch::kFloat);
    difference = difference * terms.weights.unsqueeze(1);
  }
  const auto log_ratio =
      options.ratio == Ratio::kSum ? difference.sum({2, 3}) : difference.mean({2, 3});  // [B, S]
  auto ratio = log_ratio.exp();
  auto advantages = terms.advantages;
  if (per_location) {
    ratio = ratio.detach().unsqueeze(2).unsqueeze(3) *
            (difference - difference.detach()).exp();  // [B, S, h, w]
    if (advantages.dim() == 2) advantages = advantages.unsqueeze(2).unsqueeze(3);
  }
  const auto clipped = ratio.clamp(1 - options.clip_low, 1 + options.clip_high);

  PolicyLoss result;
  if (options.clipping == Clipping::kPessimistic) {
    result.loss = torch::maximum(-advantages * ratio, -advantages * clipped);
  } else if (options.clipping == Clipping::kClamp) {
    result.loss = -advantages * clipped;
  } else {
    // One of the two for all pictures of a step: where the mean is the smaller.
    const auto free = advantages * ratio, held = advantages * clipped;
    const auto take_free = free.mean(0, /*keepdim=*/true) <= held.mean(0, /*keepdim=*/true);
    result.loss = -torch::where(take_free, free, held);
  }
  if (per_location) result.loss = result.loss.mean({2, 3});  // [B, S]
  if (options.policy_weight != 1) result.loss = result.loss * options.policy_weight;
  if (options.kl_weight > 0 && !terms.kl.defined()) {
    throw ConfigError("policy_loss: kl_weight > 0 needs kl");
  }
  if (terms.kl.defined()) {
    shapes.check("kl", terms.kl, {"B", "S", "h", "w"}, torch::kFloat);
    const auto kl = terms.kl.mean({2, 3});
    if (options.kl_weight > 0) result.loss = result.loss + options.kl_weight * kl;
    result.kl = kl.detach().mean();
  }

  const auto seen = log_ratio.detach();
  const auto plain = seen.exp();
  result.ratio = plain.mean();
  result.clip_fraction =
      ((plain < 1 - options.clip_low) | (plain > 1 + options.clip_high)).to(torch::kFloat).mean();
  result.approx_kl = seen.square().mean() / 2;
  return result;
}

}  // namespace rahf::rl
