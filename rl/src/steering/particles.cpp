#include "rahf/rl/steering/particles.h"

#include <ATen/core/grad_mode.h>

#include <string>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::rl {
namespace {

// Rewards of the particles so far, [P, k] each, and the hook's answer.
class Resampler {
 public:
  Resampler(const Scorer& scorer, Prompts prompts, const ParticleOptions& options, Draws draws)
      : scorer_(scorer), prompts_(std::move(prompts)), options_(options), draws_(draws) {}

  Steered operator()(const SteeringPoint& point) {
    const auto steps = static_cast<double>(point.num_steps);
    const double share = static_cast<double>(point.step) / steps;
    if (share < options_.begin || share > options_.end || point.step % options_.every != 0) {
      return {};
    }
    const torch::NoGradGuard no_grad;
    const auto k = options_.particles;
    const auto groups = std::ssize(prompts_) / k;
    const auto reward =
        scorer_.score(point.clean_images(point.state), prompts_).total.view({groups, k});
    if (!total_.defined()) {
      total_ = torch::zeros_like(reward);
      last_ = torch::zeros_like(reward);
      highest_ = reward;
    }
    total_ = total_ + reward;
    highest_ = torch::maximum(highest_, reward);
    const auto exponent = options_.potential == Potential::kDifference ? reward - last_
                          : options_.potential == Potential::kMax      ? highest_
                                                                       : total_;
    last_ = reward;
    const auto weights = torch::softmax(options_.lambda * exponent, 1);  // [P, k]
    const auto effective = 1 / weights.square().sum(1);                  // [P], in [1, k]
    const auto wanted = effective < options_.ess_threshold * static_cast<double>(k) * (1 - 1e-6);
    const auto offset = draws_.uniform("resampling", point.step, {groups}, weights.device());
    const auto own = torch::arange(k, offset.options().dtype(torch::kLong)).expand({groups, k});
    const auto chosen =
        torch::where(wanted.unsqueeze(1), systematic_resampling(weights, offset), own);
    total_ = total_.gather(1, chosen);
    last_ = last_.gather(1, chosen);
    highest_ = highest_.gather(1, chosen);
    const auto base = torch::arange(groups, chosen.options()).unsqueeze(1) * k;
    return {.state = {}, .ancestors = (chosen + base).flatten()};
  }

 private:
  const Scorer& scorer_;
  Prompts prompts_;
  ParticleOptions options_;
  Draws draws_;
  torch::Tensor total_, last_, highest_;
};

Steering keep_best(const Scorer& scorer, const torch::Tensor& images, const Prompts& repeated,
                   std::int64_t k) {
  const auto groups = std::ssize(repeated) / k;
  Steering result;
  result.all = scorer.score(images, repeated).total.view({groups, k});
  const auto best = result.all.argmax(1);  // [P]
  result.rewards = result.all.gather(1, best.unsqueeze(1)).squeeze(1);
  const auto rows = torch::arange(groups, best.options()) * k + best;
  result.images = images.index_select(0, rows.to(images.device()));
  return result;
}

}  // namespace

void ParticleOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("ParticleOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("particles", static_cast<double>(particles), particles > 0, "> 0");
  check("lambda", lambda, lambda >= 0, ">= 0");
  check("every", static_cast<double>(every), every > 0, "> 0");
  check("begin", begin, begin >= 0 && begin < 1, "in [0, 1)");
  check("end", end, end > begin && end <= 1, "in (begin, 1]");
  check("ess_threshold", ess_threshold, ess_threshold > 0 && ess_threshold <= 1, "in (0, 1]");
}

torch::Tensor systematic_resampling(const torch::Tensor& weights, const torch::Tensor& offset) {
  Shapes shapes("systematic_resampling");
  shapes.check("weights", weights, {"P", "k"});
  shapes.check("offset", offset, {"P"});
  const auto k = weights.size(1);
  const auto ends = (weights / weights.sum(1, /*keepdim=*/true)).cumsum(1);  // [P, k]
  const auto at = (torch::arange(k, offset.options()) + offset.unsqueeze(1)) /
                  static_cast<double>(k);  // [P, k], ascending
  return torch::searchsorted(ends.contiguous(), at.contiguous(), /*out_int32=*/false,
                             /*right=*/true)
      .clamp_max(k - 1);
}

Prompts repeat_each(const Prompts& prompts, std::int64_t times) {
  Prompts all;
  for (const auto& prompt : prompts) {
    for (std::int64_t i = 0; i < times; ++i) all.push_back(prompt);
  }
  return all;
}

Steering sample_particles(Generator& generator, const Scorer& scorer, const Prompts& prompts,
                          SampleOptions sampling, const ParticleOptions& options,
                          const Draws& draws) {
  options.validate();
  const auto repeated = repeat_each(prompts, options.particles);
  sampling.decode = true;
  if (options.lambda > 0) {
    auto resampler = std::make_shared<Resampler>(scorer, repeated, options, draws);
    sampling.steering = [resampler](const SteeringPoint& point) { return (*resampler)(point); };
  }
  const auto first = Draws{.random = draws.random, .first = draws.first * options.particles};
  const auto rollout = generator.sample(repeated, sampling, first);
  return keep_best(scorer, rollout.images, repeated, options.particles);
}

Steering best_of_n(Generator& generator, const Scorer& scorer, const Prompts& prompts,
                   const SampleOptions& sampling, std::int64_t n, const Draws& draws) {
  return sample_particles(generator, scorer, prompts, sampling, {.particles = n, .lambda = 0},
                          draws);
}

}  // namespace rahf::rl
