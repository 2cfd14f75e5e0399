#include "rahf/rl/loop/rollouts.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>

#include "rahf/core/error.h"

namespace rahf::rl {

void RolloutOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("RolloutOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("prompts", static_cast<double>(prompts), prompts > 0, "> 0");
  check("pictures", static_cast<double>(pictures), pictures > 0, "> 0");
  check("batch_size", static_cast<double>(batch_size), batch_size > 0, "> 0");
  check("steps", static_cast<double>(steps), steps > 0, "> 0");
  check("guidance_scale", guidance_scale, guidance_scale >= 0, ">= 0");
  check("stochasticity", stochasticity, stochasticity >= 0, ">= 0");
}

SampleOptions RolloutOptions::sampling() const {
  return {.num_steps = steps,
          .guidance_scale = guidance_scale,
          .negative_prompt = negative_prompt,
          .stochasticity = stochasticity};
}

Rollout join(const std::vector<Rollout>& parts) {
  TORCH_INTERNAL_ASSERT(!parts.empty());
  if (parts.size() == 1) return parts.front();
  const auto cat = [&](auto get) {
    std::vector<torch::Tensor> tensors;
    for (const auto& part : parts) {
      const torch::Tensor& tensor = get(part);
      if (!tensor.defined()) return torch::Tensor();
      tensors.push_back(tensor);
    }
    return torch::cat(tensors);
  };
  Rollout whole{.options = parts.front().options};
  for (const auto& part : parts) {
    whole.prompts.insert(whole.prompts.end(), part.prompts.begin(), part.prompts.end());
  }
  whole.images = cat([](const Rollout& part) -> const torch::Tensor& { return part.images; });
  whole.latents = cat([](const Rollout& part) -> const torch::Tensor& { return part.latents; });
  whole.states = cat([](const Rollout& part) -> const torch::Tensor& { return part.states; });
  whole.log_prob = cat([](const Rollout& part) -> const torch::Tensor& { return part.log_prob; });
  whole.decided = cat([](const Rollout& part) -> const torch::Tensor& { return part.decided; });
  whole.timesteps = parts.front().timesteps;
  for (const auto& [name, first] : parts.front().kept) {
    whole.kept.emplace(name, cat([&key = name](const Rollout& part) -> const torch::Tensor& {
                         return part.kept.at(key);
                       }));
  }
  return whole;
}

Round make_round(Generator& generator, const Scorer& scorer, const PromptStream& prompts,
                 const RolloutOptions& options, std::int64_t index, const Randomness& random,
                 Policy policy, bool keep_trajectory, bool maps) {
  const torch::NoGradGuard no_grad;
  auto sampling = options.sampling();
  sampling.policy = policy;
  sampling.keep_trajectory = keep_trajectory;
  Prompts all;
  for (const auto& prompt : prompts.take(index * options.prompts, options.prompts)) {
    all.insert(all.end(), static_cast<std::size_t>(options.pictures), prompt);
  }
  const Randomness own(random.key("round", index));
  const auto count = static_cast<std::int64_t>(all.size());
  // With one start per prompt a call must not mix prompts.
  const auto size =
      options.same_start ? std::min(options.batch_size, options.pictures) : options.batch_size;
  std::vector<Rollout> parts;
  for (std::int64_t first = 0; first < count;) {
    auto last = std::min(first + size, count);
    if (options.same_start) {
      last = std::min(last, (first / options.pictures + 1) * options.pictures);
      sampling.start.reset();
      // The first state of the prompt's first picture serves them all.
      const auto leader = first - first % options.pictures;
      auto probe = sampling;
      probe.keep_trajectory = true;
      probe.decode = false;
      probe.num_steps = 1;
      sampling.start = generator
                           .sample({all[static_cast<std::size_t>(leader)]}, probe,
                                   {.random = own, .first = leader})
                           .states.select(1, 0);
    }
    parts.push_back(generator.sample({all.begin() + first, all.begin() + last}, sampling,
                                     {.random = own, .first = first}));
    first = last;
  }
  Round round{.rollout = join(parts)};
  round.scored = scorer.score(round.rollout.images, round.rollout.prompts, maps);
  return round;
}

}  // namespace rahf::rl
