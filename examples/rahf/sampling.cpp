#include "sampling.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "rahf/core/io/prompt_file.h"
#include "rahf/core/options.h"
#include "rahf/core/progress.h"

namespace rahf::program {

void SamplingOptions::validate() const {
  if (steps <= 0) throw UsageError("--steps must be > 0");
  if (!(guidance >= 0)) throw UsageError("--guidance must be >= 0");
  if (!(stochasticity >= 0)) throw UsageError("--stochasticity must be >= 0");
  if (batch_size <= 0) throw UsageError("--batch-size must be > 0");
}

SampleOptions SamplingOptions::sample_options() const {
  SampleOptions options;
  options.num_steps = steps;
  options.guidance_scale = guidance;
  options.negative_prompt = negative_prompt;
  options.stochasticity = stochasticity;
  return options;
}

void sample_pictures(
    Generator& generator, const Prompts& prompts, const SamplingOptions& options,
    std::uint64_t seed,
    const std::function<void(std::int64_t first, const torch::Tensor& images)>& use) {
  const auto count = static_cast<std::int64_t>(prompts.size());
  Progress progress("pictures", count);
  for (std::int64_t first = 0; first < count; first += options.batch_size) {
    const auto last = std::min(count, first + options.batch_size);
    const Prompts some(prompts.begin() + first, prompts.begin() + last);
    const auto rollout = generator.sample(some, options.sample_options(),
                                          {.random = Randomness(seed), .first = first});
    use(first, rollout.images);
    progress.add(last - first);
  }
}

torch::Tensor sample_pictures(Generator& generator, const Prompts& prompts,
                              const SamplingOptions& options, std::uint64_t seed) {
  std::vector<torch::Tensor> all;
  sample_pictures(generator, prompts, options, seed,
                  [&](std::int64_t, const torch::Tensor& images) {
                    all.push_back(images.to(torch::kCPU, torch::kFloat));
                  });
  return torch::cat(all);
}

std::string picture_file_name(std::int64_t index) {
  char name[32];
  std::snprintf(name, sizeof name, "%05lld.png", static_cast<long long>(index));
  return name;
}

Prompts prompts_option(const std::string& prompt, const std::string& prompts, std::int64_t times) {
  if (times <= 0) throw UsageError("--count must be > 0");
  if (prompt.empty() == prompts.empty()) {
    throw UsageError("give --prompt or --prompts, and not both");
  }
  const auto once = prompts.empty() ? Prompts{{prompt}} : io::read_prompts(prompts);
  Prompts all;
  for (const auto& one : once) all.insert(all.end(), static_cast<std::size_t>(times), one);
  return all;
}

}  // namespace rahf::program
