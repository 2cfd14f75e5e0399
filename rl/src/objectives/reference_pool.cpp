#include "rahf/rl/objectives/reference_pool.h"

#include <torch/types.h>

#include <algorithm>
#include <string>
#include <vector>

#include "rahf/core/error.h"

namespace rahf::rl {

void ReferencePoolOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("ReferencePoolOptions.") + name + " = " +
                      option_text::write(value) + ", must be " + range);
  };
  check("loss_weight", loss_weight, loss_weight >= 0, ">= 0");
  check("anchor_weight", anchor_weight, anchor_weight >= 0, ">= 0");
  check("pictures", static_cast<double>(pictures), pictures > 0, "> 0");
  check("batch_size", static_cast<double>(batch_size), batch_size > 0 && batch_size <= pictures,
        "in (0, pictures]");
  levels.validate();
}

Piece ReferencePool::piece(Generator& generator, const PromptStream& prompts,
                           const Randomness& random, std::int64_t update) {
  const Randomness own(random.key("reference", 0));
  if (!latents_.defined()) {
    const torch::NoGradGuard no_grad;
    const PromptStream stream(prompts.all(), own);
    prompts_ = stream.take(0, options_.pictures);
    auto sampling = sampling_;
    sampling.policy = Policy::kReference;
    sampling.decode = false;
    std::vector<torch::Tensor> parts;
    for (std::int64_t first = 0; first < options_.pictures; first += options_.batch_size) {
      const auto last = std::min(first + options_.batch_size, options_.pictures);
      parts.push_back(generator
                          .sample({prompts_.begin() + first, prompts_.begin() + last}, sampling,
                                  {.random = own, .first = first})
                          .latents);
    }
    latents_ = torch::cat(parts);
  }
  const auto rows =
      shuffled(options_.pictures, own, "batch", update).slice(0, 0, options_.batch_size);
  Prompts chosen;
  for (std::int64_t k = 0; k < rows.numel(); ++k) {
    chosen.push_back(prompts_[static_cast<std::size_t>(rows[k].item<std::int64_t>())]);
  }
  const Draws draws{.random = Randomness(own.key("update", update))};
  const auto device = generator.device();
  const auto corrupted =
      generator.corrupt(latents_.index_select(0, rows.to(latents_.device())),
                        noise_levels(options_.levels, rows.numel(), draws, device), draws);
  const auto prediction = generator.predict(corrupted, chosen, Policy::kTrained, 1);
  Piece made{.loss = torch::zeros({}, torch::TensorOptions(device))};
  if (options_.loss_weight > 0) {
    const auto loss = error_per_picture(generator.error(prediction, corrupted), corrupted).mean();
    made.loss = made.loss + options_.loss_weight * loss;
    made.measures.emplace_back("reference/loss", loss.detach());
  }
  if (options_.anchor_weight > 0) {
    const auto reference = generator.predict(corrupted, chosen, Policy::kReference, 1);
    const auto drift = (prediction - reference).square().mean();
    made.loss = made.loss + options_.anchor_weight * drift;
    made.measures.emplace_back("reference/drift", drift.detach());
  }
  return made;
}

}  // namespace rahf::rl
