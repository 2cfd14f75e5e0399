#include "rahf/generators/muse/masked_sampling.h"

#include <ATen/ops/cos.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <limits>

#include "rahf/core/shapes.h"

namespace rahf::generators {

using torch::Tensor;

namespace {

const double kLeastLog = std::log(1e-20);
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// [B, V, h, w] -> [B, S, V]
Tensor by_place(const Tensor& log_p) { return log_p.flatten(2).transpose(1, 2); }

}  // namespace

MaskedStep MaskedSteps::at(std::int64_t step) const {
  // In f32 and by LibTorch's cosine: a share that should be exactly n / S may come out below it,
  // and then one token less is masked, here as in the reference.
  const auto done = torch::tensor({static_cast<float>(step + 1)}) / static_cast<double>(count);
  const auto share = schedule == MaskSchedule::kCosine ? torch::cos(done * M_PI / 2) : 1 - done;
  const double along = count > 1 ? static_cast<double>(step) / static_cast<double>(count - 1) : 0.0;
  return {.last = step + 1 == count,
          .mask_share = share.item<float>(),
          .temperature = first_temperature + (last_temperature - first_temperature) * along};
}

Tensor MaskedSteps::shares() const {
  auto all = torch::ones({count});
  for (std::int64_t i = 1; i < count; ++i) all[i] = at(i - 1).mask_share;
  return all;
}

Tensor draw_tokens(const Tensor& log_p, const Tensor& uniform) {
  Shapes shapes("draw_tokens");
  shapes.check("log_p", log_p, {"B", "V", "h", "w"});
  shapes.check("uniform", uniform, {"B", "h", "w"});
  const auto sums = by_place(log_p).exp().cumsum(-1);  // [B, S, V]
  const auto at = uniform.flatten(1).unsqueeze(-1) * sums.slice(-1, -1);
  return at::searchsorted(sums, at.contiguous(), /*out_int32=*/false, /*right=*/true)
      .clamp_max(log_p.size(1) - 1)
      .view(uniform.sizes());
}

MaskedState masked_step(const Tensor& log_p, const Tensor& ids, const Tensor& drawn,
                        const Tensor& noise, const MaskedStep& step, std::int64_t mask_token,
                        const Tensor& start) {
  Shapes shapes("masked_step");
  shapes.check("log_p", log_p, {"B", "V", "h", "w"}, torch::kFloat);
  shapes.check("ids", ids, {"B", "h", "w"}, torch::kLong);
  shapes.check("drawn", drawn, {"B", "h", "w"}, torch::kLong);
  shapes.check("noise", noise, {"B", "h", "w"}, torch::kFloat);
  if (start.defined()) shapes.check("start", start, {"B"}, torch::kFloat);

  const auto unknown = ids == mask_token;
  auto proposed = torch::where(unknown, drawn, ids);
  if (step.last) {
    return {.ids = proposed,
            .proposed = proposed,
            .log_threshold = torch::full_like(noise, -kInfinity)};
  }
  const auto places = ids.size(1) * ids.size(2);
  const auto one = torch::full({1}, static_cast<float>(step.mask_share), noise.options());
  const auto share = start.defined() ? start * one : one;
  auto masked = (static_cast<float>(places) * share).floor().unsqueeze(-1);  // [B or 1, 1]
  masked = torch::minimum(unknown.flatten(1).sum(1, /*keepdim=*/true) - 1, masked);
  const auto last_place = std::max<std::int64_t>(places - 1, 0);
  const auto index = masked.clamp_min(1).clamp_max(last_place).to(torch::kLong);  // [B, 1]

  const auto gumbel = -(-noise.clamp_min(1e-20).log()).clamp_min(1e-20).log();
  const auto jitter = step.temperature * gumbel;  // [B, h, w]
  const auto log_drawn =
      log_p.gather(1, drawn.unsqueeze(1)).squeeze(1).clamp_min(kLeastLog);  // [B, h, w]
  const auto confidence = (log_drawn + jitter).masked_fill(unknown.logical_not(), kInfinity);
  const auto sorted = std::get<0>(confidence.flatten(1).sort(1));
  const auto cut = sorted.gather(1, index).unsqueeze(-1);  // [B, 1, 1]
  const auto again = unknown.logical_and(confidence < cut);
  return {.ids = proposed.masked_fill(again, mask_token),
          .proposed = proposed,
          .log_threshold = cut - jitter};
}

Tensor masked_step_log_prob(const Tensor& log_p, const MaskedTransition& transition,
                            std::int64_t mask_token) {
  Shapes shapes("masked_step_log_prob");
  shapes.check("log_p", log_p, {"B", "V", "h", "w"}, torch::kFloat);
  shapes.check("before", transition.before, {"B", "h", "w"}, torch::kLong);
  shapes.check("after", transition.after, {"B", "h", "w"}, torch::kLong);
  shapes.check("log_threshold", transition.log_threshold, {"B", "h", "w"}, torch::kFloat);

  const auto unknown = transition.before == mask_token, stayed = transition.after == mask_token;
  // A mask token is none of the V; whatever is read there is not used.
  const auto chosen = transition.after.clamp_max(log_p.size(1) - 1).unsqueeze(1);
  const auto uncovered = log_p.gather(1, chosen).squeeze(1);  // [B, h, w]
  const auto below = log_p < transition.log_threshold.unsqueeze(1);
  const auto mass = log_p.exp().masked_fill(below.logical_not(), 0).sum(1);
  const auto masked = mass.clamp(1e-20, 1).log();
  return torch::where(unknown, torch::where(stayed, masked, uncovered),
                      torch::zeros_like(uncovered));
}

Tensor mask_tokens(const Tensor& ids, const Tensor& level, const Tensor& noise,
                   std::int64_t mask_token) {
  Shapes shapes("mask_tokens");
  shapes.check("ids", ids, {"B", "h", "w"}, torch::kLong);
  shapes.check("level", level, {"B"}, torch::kFloat);
  shapes.check("noise", noise, {"B", "h", "w"}, torch::kFloat);
  const auto places = static_cast<double>(ids.size(1) * ids.size(2));
  const auto count = (level * places).round().clamp_min(1).unsqueeze(1);  // [B, 1]
  const auto rank = noise.flatten(1).argsort(/*stable=*/true, 1).argsort(/*stable=*/true, 1);
  return ids.masked_fill((rank < count).view(ids.sizes()), mask_token);
}

}  // namespace rahf::generators
