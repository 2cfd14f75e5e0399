#include "rahf/rl/steering/guidance.h"

#include <ATen/core/grad_mode.h>
#include <torch/autograd.h>

#include <string>

#include "rahf/core/error.h"

namespace rahf::rl {

void GuidanceOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("GuidanceOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("scale", scale, scale >= 0, ">= 0");
  check("repeats", static_cast<double>(repeats), repeats > 0, "> 0");
  check("begin", begin, begin >= 0 && begin < 1, "in [0, 1)");
  check("end", end, end > begin && end <= 1, "in (begin, 1]");
}

SteeringHook guidance(const Scorer& scorer, const Prompts& prompts,
                      const GuidanceOptions& options) {
  options.validate();
  if (options.scale == 0) return {};
  if (!scorer.differentiable()) {
    throw ConfigError("guidance: the reward has no gradient to pictures (use particles)");
  }
  return [&scorer, &prompts, options](const SteeringPoint& point) -> Steered {
    const double share = static_cast<double>(point.step) / static_cast<double>(point.num_steps);
    if (share < options.begin || share > options.end) return {};
    auto state = point.state.detach();
    for (std::int64_t k = 0; k < options.repeats; ++k) {
      torch::Tensor gradient;
      {
        const torch::AutoGradMode with_gradient(true);
        state = state.detach().requires_grad_();
        const auto images = point.clean_images(state);
        if (!images.requires_grad()) {
          throw ConfigError(
              "guidance: this generator's states have no gradient path to pictures "
              "(traits().gradient_steering; use particles)");
        }
        gradient =
            torch::autograd::grad({scorer.score_through(images, prompts).total.sum()}, {state})[0]
                .to(torch::kFloat);
      }
      const torch::NoGradGuard no_grad;
      const auto rms = gradient.flatten(1).square().mean(1).sqrt();  // [B]
      const auto usable = torch::isfinite(rms) & (rms > 0);
      auto sizes = std::vector<std::int64_t>(static_cast<std::size_t>(gradient.dim()), 1);
      sizes[0] = gradient.size(0);
      const auto factor =
          torch::where(usable, options.scale * point.noise_level / rms, torch::zeros_like(rms));
      const auto push = torch::where(usable.view(sizes), gradient * factor.view(sizes),
                                     torch::zeros_like(gradient));
      state = state.detach() + push.to(state.dtype());
    }
    return {.state = state, .ancestors = {}};
  };
}

}  // namespace rahf::rl
