#include "rahf/rl/objectives/direct_gradient.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::rl {

void FocusOptions::validate() const {
  if (!(weight >= 0)) {
    throw ConfigError("FocusOptions.weight = " + option_text::write(weight) + ", must be >= 0");
  }
  mask.validate();
}

void DisturbanceOptions::validate() const {
  if (shift < 0) {
    throw ConfigError("DisturbanceOptions.shift = " + std::to_string(shift) + ", must be >= 0");
  }
  if (!(noise >= 0)) {
    throw ConfigError("DisturbanceOptions.noise = " + option_text::write(noise) + ", must be >= 0");
  }
}

void DirectGradientOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("DirectGradientOptions.") + name + " = " +
                      option_text::write(value) + ", must be " + range);
  };
  check("batch_size", static_cast<double>(batch_size), batch_size > 0, "> 0");
  check("micro_batch", static_cast<double>(micro_batch), micro_batch > 0, "> 0");
  check("steps", static_cast<double>(steps), steps > 0, "> 0");
  check("guidance_scale", guidance_scale, guidance_scale >= 0, ">= 0");
  check("stochasticity", stochasticity, stochasticity >= 0, ">= 0");
  check("graph_steps", static_cast<double>(graph_steps), graph_steps >= 0 && graph_steps <= steps,
        "in [0, steps]");
  check("random_std", random_std, random_std >= 0, ">= 0");
  check("first_step", static_cast<double>(first_step), first_step >= 0 && first_step < steps,
        "in [0, steps)");
  check("last_step", static_cast<double>(last_step),
        last_step < steps && (last_step < 0 || last_step >= first_step),
        "from first_step to steps - 1, or below 0");
  check("noise_draws", static_cast<double>(noise_draws), noise_draws >= 0, ">= 0");
  check("noise_level", noise_level, noise_level > 0 && noise_level < 1, "in (0, 1)");
  check("scale", scale, scale > 0, "> 0");
  focus.validate();
  disturbance.validate();
  reference.validate();
}

torch::Tensor reward_loss(const torch::Tensor& rewards, RewardLoss kind, double target) {
  switch (kind) {
    case RewardLoss::kNegative:
      return -rewards;
    case RewardLoss::kHinge:
      return torch::relu(target - rewards);
    case RewardLoss::kDistance:
      return (target - rewards).abs();
  }
  TORCH_INTERNAL_ASSERT(false);
}

torch::Tensor change_outside(const torch::Tensor& images, const torch::Tensor& reference,
                             const torch::Tensor& marks) {
  Shapes shapes("change_outside");
  shapes.check("images", images, {"B", 3, "H", "W"});
  shapes.check("reference", reference, {"B", 3, "H", "W"});
  shapes.check("marks", marks, {"B", "H", "W"}, torch::kBool);
  const auto outside = (images - reference).masked_fill(marks.unsqueeze(1), 0);
  // The root of 0 has no gradient.
  return (outside.square().mean({1, 2, 3}) + 1e-12).sqrt();
}

DirectGradient::DirectGradient(DirectGradientOptions options, Stage stage)
    : Objective(std::move(stage)),
      options_(std::move(options)),
      pool_(options_.reference, {.num_steps = options_.steps,
                                 .guidance_scale = options_.guidance_scale,
                                 .negative_prompt = options_.negative_prompt,
                                 .stochasticity = options_.stochasticity}) {
  options_.validate();
  if (!generator().traits().sample_through) {
    throw ConfigError(
        "direct gradient: the generator must have a gradient path to its pictures, and this one "
        "has none (sampled tokens have no gradient; a policy gradient or reward-weighted objective "
        "works)");
  }
  if (!Objective::stage().scorer.differentiable()) {
    throw ConfigError(
        "direct gradient: the reward must be differentiable, and this one is not (a policy "
        "gradient or reward-weighted objective works)");
  }
}

Measures DirectGradient::begin_round(std::int64_t round) {
  index_ = round;
  pictures_.reset();
  graph_steps_.clear();
  decode_at_ = -1;
  auto engine = stage().random.engine("graph", round);
  const auto last = options_.steps - 1;
  std::int64_t first = last;
  switch (options_.graph) {
    case GraphSteps::kLast:
      first = options_.graph_steps == 0 ? 0 : options_.steps - options_.graph_steps;
      break;
    case GraphSteps::kRandomLast:
      first = options_.random_mean < 0
                  ? uniform_int(engine, options_.steps)
                  : std::llround(options_.random_mean + options_.random_std * normal(engine));
      first = std::clamp<std::int64_t>(first, 0, last);
      break;
    case GraphSteps::kOne: {
      const auto greatest = options_.last_step < 0 ? last : options_.last_step;
      decode_at_ = options_.first_step + uniform_int(engine, greatest - options_.first_step + 1);
      graph_steps_ = {decode_at_};
      return {};
    }
  }
  for (auto step = first; step <= last; ++step) graph_steps_.push_back(step);
  return {};
}

std::int64_t DirectGradient::pieces(std::int64_t) const {
  return (options_.batch_size + options_.micro_batch - 1) / options_.micro_batch +
         (pool_.on() ? 1 : 0);
}

torch::Tensor DirectGradient::disturbed(const torch::Tensor& images, const Draws& draws) const {
  auto seen = images;
  const auto shift = options_.disturbance.shift;
  if (shift > 0) {
    const auto padded = torch::replication_pad2d(seen, {shift, shift, shift, shift});
    const auto offsets =
        (draws.uniform("shift", 0, {images.size(0), 2}) * static_cast<double>(2 * shift + 1))
            .to(torch::kLong);
    std::vector<torch::Tensor> shifted;
    for (std::int64_t i = 0; i < images.size(0); ++i) {
      shifted.push_back(padded[i]
                            .narrow(1, offsets[i][0].item<std::int64_t>(), images.size(2))
                            .narrow(2, offsets[i][1].item<std::int64_t>(), images.size(3)));
    }
    seen = torch::stack(shifted);
  }
  if (options_.disturbance.noise > 0) {
    seen =
        (seen + options_.disturbance.noise * draws.normal("pixels", 0, seen.sizes(), seen.device()))
            .clamp(0, 1);
  }
  return seen;
}

Piece DirectGradient::reward_piece(const Prompts& prompts, const Draws& draws) {
  const BackpropOptions backprop{.sampling = {.num_steps = options_.steps,
                                              .guidance_scale = options_.guidance_scale,
                                              .negative_prompt = options_.negative_prompt,
                                              .stochasticity = options_.stochasticity},
                                 .graph_steps = graph_steps_,
                                 .decode_at = decode_at_,
                                 .detach_state = options_.detach_state,
                                 .checkpointing = options_.checkpointing};
  const auto judged = [&](const torch::Tensor& images) {
    return stage().scorer.score_through(disturbed(images, draws), prompts);
  };
  const auto images = generator().sample_through(prompts, backprop, draws);
  const auto scored = judged(images);
  auto loss = reward_loss(scored.total, options_.loss, options_.target);  // [B]
  if (options_.noise_draws > 0) {
    const auto latents = generator().encode(images.detach());
    const auto level =
        torch::full({images.size(0)}, options_.noise_level, images.options().dtype(torch::kFloat));
    for (std::int64_t n = 0; n < options_.noise_draws; ++n) {
      const Draws own{.random = Randomness(draws.random.key("again", n)), .first = draws.first};
      const auto corrupted = generator().corrupt(latents, level, own);
      const auto prediction =
          generator().predict(corrupted, prompts, Policy::kTrained, options_.guidance_scale);
      const auto again = generator().decode(generator().clean_estimate(prediction, corrupted));
      loss = loss + reward_loss(judged(again).total, options_.loss, options_.target);
    }
    loss = loss / static_cast<double>(1 + options_.noise_draws);
  }
  loss = options_.scale * loss;
  Piece made;
  made.measures = reward_measures(scored, stage().scorer.options());
  if (options_.focus.weight > 0) {
    auto sampling = backprop.sampling;
    sampling.policy = Policy::kReference;
    const auto before = generator().sample(prompts, sampling, draws).images;
    const auto heat = weighting::heat(stage().scorer.score(before, prompts, true).judgement,
                                      options_.focus.source);
    const auto marks = weighting::repair_mask(heat, options_.focus.mask);
    const auto change = change_outside(images, before, marks);
    loss = loss + options_.focus.weight * change;
    made.measures.emplace_back("focus/change_outside", change.detach().mean());
    made.measures.emplace_back("focus/marked", marks.to(torch::kFloat).mean());
  }
  made.loss = loss.sum() / static_cast<double>(options_.batch_size);
  count_pictures(images);
  pictures_ = pictures_.defined() ? torch::cat({pictures_, images.detach()}) : images.detach();
  return made;
}

Piece DirectGradient::piece(std::int64_t, std::int64_t piece) {
  const auto first = piece * options_.micro_batch;
  if (first >= options_.batch_size) {
    return pool_.piece(generator(), stage().prompts, stage().random, index_);
  }
  const auto count = std::min(options_.micro_batch, options_.batch_size - first);
  const auto prompts = stage().prompts.take(index_ * options_.batch_size + first, count);
  return reward_piece(prompts,
                      {.random = Randomness(stage().random.key("round", index_)), .first = first});
}

}  // namespace rahf::rl
