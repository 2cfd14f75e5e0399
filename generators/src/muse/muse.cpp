#include "rahf/generators/muse/muse.h"

#include <ATen/core/grad_mode.h>
#include <torch/nn/functional/loss.h>

#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "rahf/core/shapes.h"

namespace rahf::generators {

namespace F = torch::nn::functional;
using torch::Tensor;

namespace {

void require(bool holds, const char* where, const std::string& rule, const std::string& got) {
  if (!holds) throw ConfigError(std::string(where) + ": " + rule + ", got " + got);
}

void check(const char* where, const Prompts& prompts, const SampleOptions& options) {
  using option_text::write;
  require(!prompts.empty(), where, "prompts must not be empty", "none");
  require(options.num_steps > 0, where, "num_steps must be > 0", write(options.num_steps));
  require(options.guidance_scale >= 0, where, "guidance_scale must be >= 0",
          write(options.guidance_scale));
  require(options.stochasticity >= 0, where, "stochasticity must be >= 0",
          write(options.stochasticity));
}

}  // namespace

/// What the network is given for a batch: one condition per different prompt, computed once.
struct Muse::Texts {
  UVit2DCondition table;
  Tensor rows;      ///< [B] i64, a sample's row of the table
  Tensor negative;  ///< [1] i64, that of the negative prompt; undefined without guidance

  /// Each sample `count` times in a row.
  void repeat(std::int64_t count) { rows = rows.repeat_interleave(count); }
  /// The condition of one call: negative prompts, if any, first.
  UVit2DCondition batch() const {
    return table.select(negative.defined() ? torch::cat({negative.expand_as(rows), rows}) : rows);
  }
};

/// How the states are walked through.
struct Muse::Walk {
  MaskSchedule schedule = MaskSchedule::kCosine;
  std::int64_t first_step = 0;
  Tensor start;        ///< [B, h, w] ids
  Tensor start_share;  ///< [B] f32 share of tokens masked that a schedule's shares refer to
};

Muse::Muse(MuseParts parts, MuseOptions options) : parts_(std::move(parts)), options_(options) {
  const auto& network = parts_.network->options();
  require(options_.factor > 0, "Muse", "factor must be > 0", option_text::write(options_.factor));
  require(network.micro_conditions() == 5, "Muse",
          "the network must take 5 micro-conditions (width, height, crop, aesthetic score)",
          option_text::write(network.micro_conditions()));
}

GeneratorTraits Muse::traits() const {
  const auto side = parts_.network->options().sample_size;
  return {.grid = {side, side},
          .image_height = side * options_.factor,
          .image_width = side * options_.factor,
          .discrete = true,
          .inpaint = true};
}

torch::Device Muse::device() const { return parts_.network->parameters().front().device(); }

Muse::Texts Muse::texts(const Prompts& prompts, const std::string& negative, double guidance) {
  std::map<std::pair<std::string, std::vector<float>>, std::int64_t> known;
  Prompts different;
  std::vector<std::int64_t> rows;
  const auto row = [&](const Prompt& prompt) {
    const auto [at, is_new] =
        known.try_emplace({prompt.text, prompt.word_weights}, std::ssize(different));
    if (is_new) different.push_back(prompt);
    return at->second;
  };
  for (const auto& prompt : prompts) rows.push_back(row(prompt));
  Texts result;
  if (guidance != 1) result.negative = torch::tensor({row({negative})}).to(device());
  result.rows = torch::tensor(rows).to(device());

  const auto shape = traits();
  const auto states = parts_.text(different);
  const auto micro =
      torch::tensor({static_cast<float>(shape.image_width), static_cast<float>(shape.image_height),
                     static_cast<float>(options_.crop_top), static_cast<float>(options_.crop_left),
                     static_cast<float>(options_.aesthetic_score)})
          .to(device());
  result.table = parts_.network->condition(states.states, states.pooled,
                                           micro.expand({std::ssize(different), 5}));
  return result;
}

namespace {

/// Over V of [B, V, h, w], which the network leaves in memory as [B, h, w, V]: five times as fast
/// along the last dimension.
Tensor log_softmax(const Tensor& logits) {
  return torch::log_softmax(logits.permute({0, 2, 3, 1}), -1).permute({0, 3, 1, 2});
}

/// u + g (c - u) of the network's answers u and c for the two halves of a condition of twice as
/// many rows as ids, or its answer alone: [B, V, h, w] f32.
Tensor guided_logits(UVit2DModel& network, const Tensor& ids, const UVit2DCondition& condition,
                     double guidance) {
  const bool guided = condition.batch() != ids.size(0);
  const auto logits = network(guided ? torch::cat({ids, ids}) : ids, condition).to(torch::kFloat);
  if (!guided) return logits;
  const auto halves = logits.chunk(2);
  return halves[0] + guidance * (halves[1] - halves[0]);
}

}  // namespace

Rollout Muse::sample(const Prompts& prompts, const SampleOptions& options, const Draws& draws) {
  check("Muse::sample", prompts, options);
  const auto& network = parts_.network->options();
  const auto batch = std::ssize(prompts);
  const auto grid = traits().grid;
  Walk how{.schedule = options_.schedule};
  if (options.start.defined()) {
    Shapes("Muse::sample")
        .check("start", options.start, {"B", grid.height, grid.width}, torch::kLong);
    if (options.start.size(0) != 1 && options.start.size(0) != batch) {
      throw ShapeError("Muse::sample: start must hold 1 or " + std::to_string(batch) +
                       " grids, got " + std::to_string(options.start.size(0)));
    }
    how.start = options.start.to(device()).expand({batch, grid.height, grid.width});
    how.start_share = (how.start == network.mask_token()).to(torch::kFloat).flatten(1).mean(1);
  } else {
    how.start = torch::full({batch, grid.height, grid.width}, network.mask_token(),
                            torch::TensorOptions(torch::kLong).device(device()));
  }
  return walk(prompts, options, draws, how);
}

Rollout Muse::walk(const Prompts& prompts, const SampleOptions& options, const Draws& draws,
                   const Walk& how) {
  const torch::NoGradGuard no_grad;
  auto scope = options.policy == Policy::kTrained ? PolicyWeights::Scope(nullptr)
                                                  : policies().use(options.policy);
  const auto mask = parts_.network->options().mask_token();
  const auto condition = texts(prompts, options.negative_prompt, options.guidance_scale).batch();
  const MaskedSteps steps{.schedule = how.schedule,
                          .count = options.num_steps,
                          .first_temperature = options.stochasticity,
                          .last_temperature = 0};

  Rollout rollout{.options = options, .prompts = prompts};
  rollout.options.start.reset();
  rollout.options.steering = nullptr;
  rollout.timesteps = steps.shares().to(device());
  auto ids = how.start;
  auto share = how.start_share;
  std::vector<Tensor> states{ids}, log_probs, decided, thresholds;
  for (std::int64_t t = how.first_step; t < steps.count; ++t) {
    const auto step = steps.at(t);
    const auto log_p =
        log_softmax(guided_logits(parts_.network, ids, condition, options.guidance_scale));
    const auto drawn = draw_tokens(log_p, draws.uniform("muse tokens", t, ids.sizes(), device()));
    const auto noise = step.temperature > 0 && !step.last
                           ? draws.uniform("muse choice", t, ids.sizes(), device())
                           : torch::zeros(ids.sizes(), log_p.options());
    const auto next = masked_step(log_p, ids, drawn, noise, step, mask, share);
    if (options.keep_trajectory) {
      log_probs.push_back(masked_step_log_prob(log_p, {ids, next.ids, next.log_threshold}, mask));
      decided.push_back((ids == mask).logical_and(next.ids != mask));
      thresholds.push_back(next.log_threshold);
      states.push_back(next.ids);
    }
    ids = next.ids;
    if (!options.steering || step.last) continue;

    const SteeringPoint point{.step = t + 1,
                              .num_steps = steps.count,
                              .state = ids,
                              .noise_level = step.mask_share,
                              .clean_images = [&](const Tensor& state) {
                                const auto logits = guided_logits(parts_.network, state, condition,
                                                                  options.guidance_scale);
                                return decode(torch::where(state == mask, logits.argmax(1), state));
                              }};
    const auto steered = options.steering(point);
    if (steered.ancestors.defined()) {
      const auto rows = steered.ancestors.to(device());
      const auto take = [&](Tensor& x) {
        if (x.defined()) x = x.index_select(0, rows);
      };
      take(ids);
      take(share);
      for (auto* kept : {&states, &log_probs, &decided, &thresholds}) {
        for (auto& one : *kept) take(one);
      }
    }
    if (steered.state.defined()) ids = steered.state;
    if (options.keep_trajectory) states.back() = ids;
  }
  rollout.latents = ids;
  if (options.keep_trajectory) {
    rollout.states = torch::stack(states, 1);
    rollout.log_prob = torch::stack(log_probs, 1);
    rollout.decided = torch::stack(decided, 1);
    rollout.kept.emplace("log_threshold", torch::stack(thresholds, 1));
  }
  if (options.decode) rollout.images = decode(ids);
  return rollout;
}

StepTerms Muse::step_terms(const Rollout& rollout, const Tensor& steps, const TermsAsked& asked) {
  const auto batch = std::ssize(rollout.prompts);
  Shapes("Muse::step_terms").check("steps", steps, {batch, "S"}, torch::kLong);
  if (!rollout.states.defined() || !rollout.kept.contains("log_threshold")) {
    throw ConfigError(
        "Muse::step_terms: the rollout must have a trajectory (SampleOptions::keep_trajectory)");
  }
  const auto count = steps.size(1);
  const auto step = steps.to(device());
  const auto sample = torch::arange(batch, step.options()).unsqueeze(1).expand_as(step);
  const auto at = [&](const Tensor& all, const Tensor& index) {  // [B, T, ...] -> [B S, ...]
    return all.index({sample, index}).flatten(0, 1);
  };
  const MaskedTransition transition{at(rollout.states, step), at(rollout.states, step + 1),
                                    at(rollout.kept.at("log_threshold"), step)};
  const auto mask = parts_.network->options().mask_token();
  const auto guidance =
      asked.guidance_scale < 0 ? rollout.options.guidance_scale : asked.guidance_scale;
  const auto log_p = [&] {
    auto all = texts(rollout.prompts, rollout.options.negative_prompt, guidance);
    all.repeat(count);
    return log_softmax(guided_logits(parts_.network, transition.before, all.batch(), guidance));
  };
  const auto by_step = [&](const Tensor& x) { return x.unflatten(0, {batch, count}); };

  const auto trained = log_p();
  const auto unknown = transition.before == mask;
  StepTerms terms{.log_prob = by_step(masked_step_log_prob(trained, transition, mask)),
                  .decided = by_step(unknown.logical_and(transition.after != mask))};
  if (asked.kl) {
    Tensor reference;
    {
      const torch::NoGradGuard no_grad;
      const auto scope = policies().use(Policy::kReference);
      reference = log_p();
    }
    const auto kl = (trained.exp() * (trained - reference)).sum(1);
    terms.kl = by_step(kl.masked_fill(unknown.logical_not(), 0));
  }
  return terms;
}

Tensor Muse::inpaint(const Tensor& images, const Tensor& masks, const Prompts& prompts,
                     const SampleOptions& options, const Draws& draws) {
  check("Muse::inpaint", prompts, options);
  check_images("Muse::inpaint", images, std::ssize(prompts));
  Shapes("Muse::inpaint")
      .check("masks", masks, {std::ssize(prompts), images.size(2), images.size(3)}, torch::kBool);
  if (options.start.defined()) {
    throw ConfigError("Muse::inpaint: start must be left out, the pictures are the start");
  }
  const auto factor = options_.factor;
  const auto cells = masks.to(device())
                         .unflatten(2, {-1, factor})
                         .any(3)
                         .unflatten(1, {-1, factor})
                         .any(2);  // [B, h, w]
  Walk how{.schedule = MaskSchedule::kLinear};
  how.start = encode(images).masked_fill(cells, parts_.network->options().mask_token());
  how.start_share = cells.to(torch::kFloat).flatten(1).mean(1);
  auto decoded = options;
  decoded.decode = true;
  return walk(prompts, decoded, draws, how).images;
}

Rollout Muse::image_to_image(const Tensor& images, double strength, const Prompts& prompts,
                             const SampleOptions& options, const Draws& draws) {
  constexpr auto kWhere = "Muse::image_to_image";
  check(kWhere, prompts, options);
  check_images(kWhere, images, std::ssize(prompts));
  const auto taken = static_cast<std::int64_t>(static_cast<double>(options.num_steps) * strength);
  require(strength <= 1 && taken > 0, kWhere, "strength must be in [1 / num_steps, 1]",
          option_text::write(strength));
  Walk how{.schedule = options_.schedule, .first_step = options.num_steps - taken};
  const MaskedSteps steps{.schedule = how.schedule, .count = options.num_steps};
  const auto ids = encode(images);
  const auto noise = draws.uniform("muse mask", 0, ids.sizes(), device());
  how.start = ids.masked_fill(noise < steps.at(how.first_step).mask_share,
                              parts_.network->options().mask_token());
  auto alone = options;
  alone.keep_trajectory = false;
  return walk(prompts, alone, draws, how);
}

Tensor Muse::encode(const Tensor& images) {
  const torch::NoGradGuard no_grad;
  check_images("Muse::encode", images, images.dim() > 0 ? images.size(0) : 0);
  return parts_.encode(images.to(device()));
}

Tensor Muse::decode(const Tensor& latents) {
  const torch::NoGradGuard no_grad;
  const auto grid = traits().grid;
  Shapes("Muse::decode").check("latents", latents, {"B", grid.height, grid.width}, torch::kLong);
  return parts_.decode(latents).to(torch::kFloat).clamp(0, 1);
}

Corrupted Muse::corrupt(const Tensor& latents, const Tensor& level, const Draws& draws) {
  const torch::NoGradGuard no_grad;
  const auto ids = latents.to(device());
  const auto share = level.to(device());
  const auto noise = draws.uniform("muse mask", 0, ids.sizes(), device());
  return {.clean = ids,
          .state = mask_tokens(ids, share, noise, parts_.network->options().mask_token()),
          .level = share,
          .target = ids};
}

Tensor Muse::predict(const Corrupted& corrupted, const Prompts& prompts, Policy policy,
                     double guidance_scale) {
  Shapes("Muse::predict")
      .check("state", corrupted.state, {std::ssize(prompts), "h", "w"}, torch::kLong);
  const auto run = [&] {
    return guided_logits(parts_.network, corrupted.state,
                         texts(prompts, "", guidance_scale).batch(), guidance_scale);
  };
  if (policy == Policy::kTrained) return run();
  const torch::NoGradGuard no_grad;
  const auto scope = policies().use(policy);
  return run();
}

Tensor Muse::error(const Tensor& prediction, const Corrupted& corrupted) {
  Shapes shapes("Muse::error");
  shapes.check("prediction", prediction, {"B", parts_.network->options().codebook_size, "h", "w"});
  shapes.check("state", corrupted.state, {"B", "h", "w"}, torch::kLong);
  shapes.check("target", corrupted.target, {"B", "h", "w"}, torch::kLong);
  const auto loss =
      F::cross_entropy(prediction.to(torch::kFloat), corrupted.target,
                       F::CrossEntropyFuncOptions().reduction(torch::kNone));  // [B, h, w]
  return loss.masked_fill(corrupted.state != parts_.network->options().mask_token(), 0);
}

PolicyWeights& Muse::policies() {
  if (!policies_) policies_.emplace(adapter_ ? adapter_->parameters() : parts_.trainable());
  return *policies_;
}

void Muse::train_adapter(nn::Lora adapter) {
  for (auto& one : parts_.trainable()) one.value.set_requires_grad(false);
  adapter_.emplace(std::move(adapter));
  policies_.reset();
}

std::vector<OptimisedParameter> Muse::trainable() {
  policies();  // What training finds is the reference.
  return adapter_ ? adapter_->parameters() : parts_.trainable();
}

void Muse::save(const std::filesystem::path& folder) const {
  if (adapter_) {
    adapter_->save(folder, "transformer");
  } else {
    parts_.save(folder);
  }
}

void Muse::update_old(double decay) { policies().update_old(decay); }

void Muse::check_images(const char* where, const Tensor& images, std::int64_t batch) const {
  const auto shape = traits();
  Shapes(where).check("images", images, {batch, 3, shape.image_height, shape.image_width},
                      torch::kFloat);
}

}  // namespace rahf::generators
