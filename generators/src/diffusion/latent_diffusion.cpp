#include "rahf/generators/diffusion/latent_diffusion.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "rahf/core/nn/checkpointing.h"
#include "rahf/core/shapes.h"

namespace rahf::generators {
namespace {

torch::Tensor all_at(std::int64_t step, std::int64_t batch) {
  return torch::full({batch}, step, torch::kLong);
}

void require_prompts(const char* where, const Prompts& prompts) {
  if (prompts.empty()) throw ConfigError(std::string(where) + ": prompts must not be empty, got 0");
}

std::int64_t batch_of(const Prompts& prompts) { return static_cast<std::int64_t>(prompts.size()); }

}  // namespace

/// What the network is told besides the state.
struct LatentDiffusion::Condition {
  torch::Tensor text;           ///< [B, L, D]; undefined where guidance is 0
  torch::Tensor unconditional;  ///< [B, L, D]; undefined where guidance is 1
  double guidance = 1;
  torch::Tensor inpainting;  ///< [B, C + 1, h, w] or undefined
};

/// A way through the steps of a plan.
struct LatentDiffusion::Walk {
  StepPlan plan;
  std::int64_t begin = 0;
  torch::Tensor state;       ///< [B, C, h, w] before step `begin`
  torch::Tensor inpainting;  ///< [B, C + 1, h, w] or undefined
  // Latents that are not redrawn, or undefined.
  torch::Tensor known, known_noise;  ///< [B, C, h, w]
  torch::Tensor redrawn;             ///< [B, 1, h, w] f32 of 0 and 1
};

LatentDiffusion::LatentDiffusion(LatentDiffusionParts parts, LatentDiffusionOptions options,
                                 torch::Device device)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      device_(device),
      forward_(options_.scheduler) {
  parts_.network->eval();  // Dropout would make a step's probability a random number.
}

GeneratorTraits LatentDiffusion::traits() const {
  return {.grid = options_.grid,
          .image_height = options_.grid.height * options_.factor,
          .image_width = options_.grid.width * options_.factor,
          .discrete = false,
          .sample_through = true,
          .gradient_steering = true,
          .inpaint = true};
}

void LatentDiffusion::set_sampler(Sampler sampler) {
  auto changed = options_.scheduler;
  changed.sampler = sampler;
  changed.validate("LatentDiffusion::set_sampler");
  options_.scheduler = changed;
}

// --- The network -----------------------------------------------------------------------------

LatentDiffusion::Condition LatentDiffusion::condition(const Prompts& prompts,
                                                      const std::string& negative,
                                                      double guidance) {
  if (!(guidance >= 0)) {
    throw ConfigError("LatentDiffusion: guidance_scale must be >= 0, got " +
                      std::to_string(guidance));
  }
  Condition condition{.guidance = guidance};
  if (guidance != 0) condition.text = parts_.text(prompts).to(options_.dtype);
  if (guidance != 1) {
    const auto states = parts_.text({Prompt{.text = negative}}).to(options_.dtype);
    condition.unconditional = states.expand({batch_of(prompts), -1, -1});
  }
  return condition;
}

torch::Tensor LatentDiffusion::denoise(const torch::Tensor& state, const torch::Tensor& timesteps,
                                       const Condition& condition, bool checkpointing) {
  auto input = condition.inpainting.defined()
                   ? torch::cat({state, condition.inpainting.to(state.dtype())}, 1)
                   : state;
  auto told = timesteps.to(device_);
  auto text = condition.guidance == 0 ? condition.unconditional : condition.text;
  const bool guided = condition.guidance != 0 && condition.guidance != 1;
  if (guided) {
    input = torch::cat({input, input});
    told = torch::cat({told, told});
    text = torch::cat({condition.unconditional, condition.text});
  }
  const auto body = [this](const std::vector<torch::Tensor>& inputs) {
    return parts_.denoise(inputs[0], inputs[1], inputs[2]);
  };
  const std::vector<torch::Tensor> inputs = {input.to(options_.dtype), told, text};
  const auto prediction =
      (checkpointing ? nn::checkpoint(*parts_.network, inputs, body) : body(inputs))
          .to(torch::kFloat);
  if (!guided) return prediction;
  const auto both = prediction.chunk(2);
  return both[0] + condition.guidance * (both[1] - both[0]);
}

PolicyWeights::Scope LatentDiffusion::use(Policy policy) {
  // Nothing has been trained before the parameters were first asked for.
  return weights_ ? weights_->use(policy) : PolicyWeights::Scope(nullptr);
}

// --- Sampling --------------------------------------------------------------------------------

torch::Tensor LatentDiffusion::start(const SampleOptions& options, const StepPlan& plan,
                                     std::int64_t batch, const Draws& draws) const {
  const auto [h, w] = options_.grid;
  if (!options.start.defined()) {
    return draws.normal("diffusion/start", 0, {batch, options_.channels, h, w}, device_) *
           plan.start_std;
  }
  const auto& given = options.start;
  const bool fits = given.dim() == 4 && (given.size(0) == batch || given.size(0) == 1) &&
                    given.sizes().slice(1) == at::IntArrayRef({options_.channels, h, w});
  if (!fits) {
    throw ShapeError("LatentDiffusion: start must be [" + std::to_string(batch) + " or 1, " +
                     std::to_string(options_.channels) + ", " + std::to_string(h) + ", " +
                     std::to_string(w) + "], got " + c10::str(given.sizes()));
  }
  return given.detach().to(device_, torch::kFloat).expand({batch, -1, -1, -1}).contiguous();
}

Rollout LatentDiffusion::sample(const Prompts& prompts, const SampleOptions& options,
                                const Draws& draws) {
  require_prompts("LatentDiffusion::sample", prompts);
  const torch::NoGradGuard no_grad;
  const auto batch = batch_of(prompts);
  Walk how{.plan = plan_steps(options_.scheduler, options.num_steps, options.stochasticity)};
  how.state = start(options, how.plan, batch, draws);
  if (options_.inpainting_input) {  // Nothing is known.
    const auto size = traits();
    how.inpainting =
        inpainting_input(torch::full({batch, 3, size.image_height, size.image_width}, 0.5, device_),
                         torch::ones({batch, size.image_height, size.image_width},
                                     at::dtype(torch::kBool).device(device_)));
  }
  return walk(prompts, options, draws, how);
}

Rollout LatentDiffusion::walk(const Prompts& prompts, const SampleOptions& options,
                              const Draws& draws, const Walk& how) {
  const auto scope = use(options.policy);
  const auto batch = batch_of(prompts), T = how.plan.size();
  const auto& plan = how.plan;
  auto told = condition(prompts, options.negative_prompt, options.guidance_scale);
  told.inpainting = how.inpainting;

  auto x = how.state;
  torch::Tensor clean;
  std::vector<torch::Tensor> states = {x}, log_probs, decided;
  for (auto i = how.begin; i < T; ++i) {
    const auto at = all_at(i, batch);
    auto step = take_step(plan, at, x, denoise(x, plan.timesteps[i].expand({batch}), told), clean);
    clean = step.clean;
    x = plan.steps[i].std > 0
            ? step.mean + step.std * draws.normal("diffusion/step", i, x.sizes(), device_)
            : step.mean;
    if (how.redrawn.defined()) {
      const auto known = plan.signal[i + 1] * how.known + plan.noise[i + 1] * how.known_noise;
      x = how.redrawn * x + (1 - how.redrawn) * known;
    }
    if (options.steering && i + 1 < T) {
      const torch::AutoGradMode with_grad(true);  // for the hook's own losses, too
      const auto clean_images = [&, i, clean](const torch::Tensor& state) {
        const auto prediction = denoise(state, plan.timesteps[i + 1].expand({batch}), told);
        return decode(take_step(plan, all_at(i + 1, batch), state, prediction, clean).clean);
      };
      const auto steered = options.steering({.step = i + 1,
                                             .num_steps = T,
                                             .state = x,
                                             .noise_level = plan.level[i + 1],
                                             .clean_images = clean_images});
      if (steered.ancestors.defined()) {
        const auto ancestors = steered.ancestors.to(device_, torch::kLong);
        const auto follow = [&](torch::Tensor& kept) { kept = kept.index_select(0, ancestors); };
        for (auto* kept : {&x, &clean, &step.mean, &step.std}) follow(*kept);
        for (auto* all : {&states, &log_probs, &decided}) {
          std::for_each(all->begin(), all->end(), follow);
        }
      }
      if (steered.state.defined()) {
        Shapes shapes("LatentDiffusion: what the steering hook returned");
        shapes.check("state", steered.state, {batch, x.size(1), x.size(2), x.size(3)});
        x = steered.state.detach().to(device_, torch::kFloat);
      }
    }
    if (!options.keep_trajectory) continue;
    states.push_back(x);
    log_probs.push_back(step_log_prob(step, x));
    decided.push_back((step.std > 0).squeeze(1).expand_as(log_probs.back()));
  }

  Rollout rollout{.options = options, .prompts = prompts, .latents = x};
  rollout.options.start = torch::Tensor();
  rollout.options.steering = nullptr;
  if (options.decode) rollout.images = decode(x);
  if (options.keep_trajectory) {
    rollout.states = torch::stack(states, 1);
    rollout.log_prob = torch::stack(log_probs, 1);
    rollout.decided = torch::stack(decided, 1);
    rollout.timesteps = plan.timesteps;
    if (how.inpainting.defined()) rollout.kept["inpainting"] = how.inpainting;
  }
  return rollout;
}

StepTerms LatentDiffusion::step_terms(const Rollout& rollout, const torch::Tensor& steps,
                                      const TermsAsked& asked) {
  const char* where = "LatentDiffusion::step_terms";
  if (!rollout.states.defined()) {
    throw ConfigError(std::string(where) +
                      ": rollout must hold a trajectory, got none (keep_trajectory)");
  }
  const auto batch = batch_of(rollout.prompts);
  const auto at = steps.to(torch::kCPU);
  Shapes shapes(where);
  shapes.check("steps", at, {batch, "S"}, torch::kLong);
  const auto plan =
      plan_steps(options_.scheduler, rollout.options.num_steps, rollout.options.stochasticity);
  if (!torch::equal(plan.timesteps, rollout.timesteps.to(torch::kCPU))) {
    throw ConfigError(std::string(where) + ": rollout must be of sampler " +
                      option_text::write(options_.scheduler.sampler) + ", got another's timesteps");
  }
  if (plan.deterministic()) {
    throw ConfigError(
        std::string(where) +
        ": a step's probability needs stochasticity > 0, got a deterministic rollout");
  }
  if (at.numel() > 0 &&
      (at.min().item<std::int64_t>() < 0 || at.max().item<std::int64_t>() >= plan.size())) {
    throw ShapeError(std::string(where) + ": steps must be in [0, " + std::to_string(plan.size()) +
                     "), got " + std::to_string(at.min().item<std::int64_t>()) + " to " +
                     std::to_string(at.max().item<std::int64_t>()));
  }

  auto told =
      condition(rollout.prompts, rollout.options.negative_prompt,
                asked.guidance_scale < 0 ? rollout.options.guidance_scale : asked.guidance_scale);
  if (const auto kept = rollout.kept.find("inpainting"); kept != rollout.kept.end()) {
    told.inpainting = kept->second;
  }
  const auto rows = torch::arange(batch, at::dtype(torch::kLong).device(device_));
  std::vector<torch::Tensor> log_probs, kls, decided;
  // One step of all samples at a time, as sampling did: another batch may round otherwise.
  for (std::int64_t s = 0; s < at.size(1); ++s) {
    const auto own = at.select(1, s).contiguous();
    const auto on_device = own.to(device_);
    const auto state = rollout.states.index({rows, on_device});
    const auto next = rollout.states.index({rows, on_device + 1});
    const auto timesteps = plan.timesteps.index_select(0, own);
    const auto step = take_step(plan, own, state, denoise(state, timesteps, told));
    log_probs.push_back(step_log_prob(step, next));
    decided.push_back((step.std > 0).squeeze(1).expand_as(log_probs.back()));
    if (!asked.kl) continue;
    torch::Tensor reference_mean;
    {
      const torch::NoGradGuard no_grad;
      const auto scope = use(Policy::kReference);
      reference_mean = take_step(plan, own, state, denoise(state, timesteps, told)).mean;
    }
    kls.push_back(step_kl(step, reference_mean));
  }
  StepTerms terms{.log_prob = torch::stack(log_probs, 1), .decided = torch::stack(decided, 1)};
  if (asked.kl) terms.kl = torch::stack(kls, 1);
  return terms;
}

torch::Tensor LatentDiffusion::sample_through(const Prompts& prompts,
                                              const BackpropOptions& options, const Draws& draws) {
  const std::string where = "LatentDiffusion::sample_through";
  require_prompts(where.c_str(), prompts);
  const auto& sampling = options.sampling;
  if (sampling.policy != Policy::kTrained) {
    throw ConfigError(where + ": policy must be the trained one");
  }
  if (sampling.steering) throw ConfigError(where + ": steering must be empty");
  if (options_.inpainting_input) {
    throw ConfigError(where + ": inpainting models are not offered");
  }
  const auto plan = plan_steps(options_.scheduler, sampling.num_steps, sampling.stochasticity);
  const auto T = plan.size(), batch = batch_of(prompts);
  const auto last = options.decode_at < 0 ? T - 1 : options.decode_at;
  if (last >= T) {
    throw ConfigError(where + ": decode_at must be in [-1, " + std::to_string(T) + "), got " +
                      std::to_string(last));
  }
  std::vector<bool> keeps(T, false);
  for (const auto step : options.graph_steps) {
    if (step < 0 || step >= T) {
      throw ConfigError(where + ": graph_steps must be in [0, " + std::to_string(T) + "), got " +
                        std::to_string(step));
    }
    keeps[step] = true;
  }
  const bool reaches = options.detach_state ? keeps[last]
                                            : std::find(keeps.begin(), keeps.begin() + last + 1,
                                                        true) != keeps.begin() + last + 1;
  if (!reaches) {
    throw ConfigError(where + ": graph_steps must hold " +
                      (options.detach_state ? "step " : "a step up to ") + std::to_string(last) +
                      (options.detach_state ? " where the state is detached" : "") +
                      ", else no gradient reaches the picture");
  }

  const auto told = condition(prompts, sampling.negative_prompt, sampling.guidance_scale);
  auto x = start(sampling, plan, batch, draws);
  torch::Tensor clean;
  for (std::int64_t i = 0; i <= last; ++i) {
    const auto timesteps = plan.timesteps[i].expand({batch});
    torch::Tensor prediction;
    if (keeps[i]) {
      prediction = denoise(x, timesteps, told, options.checkpointing);
    } else {
      const torch::NoGradGuard no_grad;
      prediction = denoise(x, timesteps, told);
      if (options.detach_state) {
        x = x.detach();
        if (clean.defined()) clean = clean.detach();
      }
    }
    const auto step = take_step(plan, all_at(i, batch), x, prediction, clean);
    clean = step.clean;
    x = plan.steps[i].std > 0
            ? step.mean + step.std * draws.normal("diffusion/step", i, x.sizes(), device_)
            : step.mean;
  }
  return decode(options.decode_at < 0 ? x : clean);
}

// --- From pictures ---------------------------------------------------------------------------

void LatentDiffusion::check_images(const char* where, const torch::Tensor& images,
                                   std::int64_t batch) const {
  const auto size = traits();
  Shapes shapes(where);
  shapes.check("images", images, {batch, 3, size.image_height, size.image_width}, torch::kFloat);
}

torch::Tensor LatentDiffusion::inpainting_input(const torch::Tensor& images,
                                                const torch::Tensor& masks) {
  const auto mask = masks.unsqueeze(1);  // [B, 1, H, W]
  const auto touched = torch::max_pool2d(mask.to(torch::kFloat), options_.factor, options_.factor);
  return torch::cat({touched, encode(images.masked_fill(mask, 0.5))}, 1);
}

torch::Tensor LatentDiffusion::inpaint(const torch::Tensor& images, const torch::Tensor& masks,
                                       const Prompts& prompts, const SampleOptions& options,
                                       const Draws& draws) {
  const char* where = "LatentDiffusion::inpaint";
  require_prompts(where, prompts);
  const auto batch = batch_of(prompts);
  check_images(where, images, batch);
  Shapes shapes(where);
  shapes.check("masks", masks, {batch, images.size(2), images.size(3)}, torch::kBool);
  const torch::NoGradGuard no_grad;
  const auto picture = images.to(device_);
  const auto mask = masks.to(device_);
  Walk how{.plan = plan_steps(options_.scheduler, options.num_steps, options.stochasticity)};
  how.state = start(options, how.plan, batch, draws);
  if (options_.inpainting_input) {
    how.inpainting = inpainting_input(picture, mask);
  } else {
    how.known = encode(picture);
    how.known_noise = draws.normal("diffusion/known", 0, how.known.sizes(), device_);
    how.redrawn =
        torch::max_pool2d(mask.unsqueeze(1).to(torch::kFloat), options_.factor, options_.factor);
  }
  auto sampling = options;
  sampling.keep_trajectory = false;
  sampling.decode = true;
  const auto redrawn = walk(prompts, sampling, draws, how).images;
  return torch::where(mask.unsqueeze(1), redrawn, picture);
}

Rollout LatentDiffusion::image_to_image(const torch::Tensor& images, double strength,
                                        const Prompts& prompts, const SampleOptions& options,
                                        const Draws& draws) {
  const char* where = "LatentDiffusion::image_to_image";
  require_prompts(where, prompts);
  check_images(where, images, batch_of(prompts));
  if (!(strength > 0 && strength <= 1)) {
    throw ConfigError(std::string(where) + ": strength must be in (0, 1], got " +
                      std::to_string(strength));
  }
  if (options.keep_trajectory || options.start.defined() || options_.inpainting_input) {
    throw ConfigError(std::string(where) +
                      ": keeps no trajectory, takes no start, and needs a model without inpainting "
                      "input");
  }
  const torch::NoGradGuard no_grad;
  Walk how{.plan = plan_steps(options_.scheduler, options.num_steps, options.stochasticity)};
  const auto walked =
      std::max<std::int64_t>(1, std::llround(strength * static_cast<double>(options.num_steps)));
  how.begin = options.num_steps - walked;
  const auto latents = encode(images);
  how.state =
      how.plan.signal[how.begin] * latents +
      how.plan.noise[how.begin] * draws.normal("diffusion/start", 0, latents.sizes(), device_);
  return walk(prompts, options, draws, how);
}

torch::Tensor LatentDiffusion::encode(const torch::Tensor& images) {
  Shapes shapes("LatentDiffusion::encode");
  const auto size = traits();
  shapes.check("images", images, {"B", 3, size.image_height, size.image_width}, torch::kFloat);
  const torch::NoGradGuard no_grad;
  return parts_.encode(images.to(device_)).to(torch::kFloat);
}

torch::Tensor LatentDiffusion::decode(const torch::Tensor& latents) {
  Shapes shapes("LatentDiffusion::decode");
  shapes.check("latents", latents,
               {"B", options_.channels, options_.grid.height, options_.grid.width});
  return parts_.decode(latents.to(device_)).to(torch::kFloat).clamp(0, 1);
}

// --- Forward process -------------------------------------------------------------------------

Corrupted LatentDiffusion::corrupt(const torch::Tensor& latents, const torch::Tensor& level,
                                   const Draws& draws) {
  return forward_.corrupt(latents, draws.normal("diffusion/corrupt", 0, latents.sizes(), device_),
                          level);
}

torch::Tensor LatentDiffusion::predict(const Corrupted& corrupted, const Prompts& prompts,
                                       Policy policy, double guidance_scale) {
  Shapes shapes("LatentDiffusion::predict");
  shapes.check("corrupted.state", corrupted.state,
               {batch_of(prompts), options_.channels, options_.grid.height, options_.grid.width});
  const auto scope = use(policy);
  const torch::AutoGradMode mode(torch::GradMode::is_enabled() && policy == Policy::kTrained);
  auto told = condition(prompts, "", guidance_scale);
  if (options_.inpainting_input) {
    throw ConfigError("LatentDiffusion::predict: inpainting models are not offered");
  }
  return denoise(corrupted.state, forward_.timesteps(corrupted.level), told);
}

torch::Tensor LatentDiffusion::error(const torch::Tensor& prediction, const Corrupted& corrupted) {
  Shapes shapes("LatentDiffusion::error");
  shapes.check("prediction", prediction, {"B", "C", "h", "w"});
  shapes.check("corrupted.target", corrupted.target, {"B", "C", "h", "w"});
  return (prediction.to(torch::kFloat) - corrupted.target).square().mean(1);
}

torch::Tensor LatentDiffusion::clean_estimate(const torch::Tensor& prediction,
                                              const Corrupted& corrupted) {
  return forward_.clean(prediction.to(torch::kFloat), corrupted);
}

// --- Weights ---------------------------------------------------------------------------------

void LatentDiffusion::train_adapter(nn::Lora adapter) {
  for (auto& one : parts_.trainable()) one.value.set_requires_grad(false);
  adapter_.emplace(std::move(adapter));
  weights_.reset();
}

std::vector<OptimisedParameter> LatentDiffusion::trainable() {
  auto parameters = adapter_ ? adapter_->parameters() : parts_.trainable();
  if (!weights_) weights_.emplace(parameters);
  return parameters;
}

void LatentDiffusion::update_old(double decay) {
  trainable();
  weights_->update_old(decay);
}

void LatentDiffusion::save(const std::filesystem::path& folder) const {
  if (adapter_) {
    adapter_->save(folder, "unet");
  } else {
    parts_.save(folder);
  }
}

}  // namespace rahf::generators
