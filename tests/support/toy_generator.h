#pragma once

#include <torch/types.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "rahf/core/error.h"
#include "rahf/core/generator.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/shapes.h"

/// A generator that can be worked by hand: a bandit per location, whose one parameter is
/// theta [3, h, w]: its rows serve prompts that begin with "red", other prompts, and no prompt.
///
/// Discrete: two arms. Arm 1 is drawn with probability sigmoid(theta); a step t of T decides the
/// locations with number % T == t. Id 2 is the mask. A picture is red by .9 where arm 1 was drawn,
/// by .1 where arm 0 was.
///
/// Continuous: states x [B, 1, h, w] go from noise to a clean estimate c(x) = theta + x / 2,
///
///     x' = x + (c(x) - x) / (T - t) + sigma noise,   sigma = stochasticity / 2,
///
/// and a picture is red by sigmoid(x). The rest of all pictures is .25. Pictures have two pixels a
/// location and direction.
class ToyGenerator : public rahf::Generator {
 public:
  static constexpr std::int64_t kMask = 2;

  explicit ToyGenerator(bool discrete, rahf::Grid grid = {.height = 2, .width = 3})
      : discrete_(discrete),
        grid_(grid),
        theta_(torch::zeros({3, grid.height, grid.width}).requires_grad_()),
        reference_(theta_.detach().clone()),
        old_(reference_.clone()) {}

  torch::Tensor theta() const { return theta_; }
  /// Sets theta, and the policies that follow it.
  void start_from(const torch::Tensor& values) {
    const torch::NoGradGuard no_grad;
    theta_.copy_(values);
    reference_.copy_(values);
    old_.copy_(values);
  }

  rahf::GeneratorTraits traits() const override {
    return {.grid = grid_,
            .image_height = 2 * grid_.height,
            .image_width = 2 * grid_.width,
            .discrete = discrete_,
            .sample_through = !discrete_,
            .gradient_steering = !discrete_,
            .inpaint = true};
  }
  torch::Device device() const override { return torch::kCPU; }

  rahf::Rollout sample(const rahf::Prompts& prompts, const rahf::SampleOptions& options,
                       const rahf::Draws& draws) override {
    const torch::NoGradGuard no_grad;
    const auto steps = options.num_steps;
    const auto theta = theta_of(prompts, options.policy, options.guidance_scale);
    auto state = first_state(theta, options, draws);
    std::vector<torch::Tensor> states = {state}, log_probs, decided;
    for (std::int64_t t = 0; t < steps; ++t) {
      auto next = advance(state, theta, t, options, draws);
      log_probs.push_back(log_prob(state, next, theta, t, options));
      decided.push_back(decides(state, next));
      state = next;
      states.push_back(state);
      if (!options.steering || t + 1 == steps) continue;
      const auto steered = options.steering(point(state, theta, t + 1, steps));
      if (steered.ancestors.defined()) {
        for (auto* kept : {&states, &log_probs, &decided}) {
          for (auto& tensor : *kept) tensor = tensor.index_select(0, steered.ancestors);
        }
      }
      if (steered.state.defined()) states.back() = steered.state.detach();
      state = states.back();
    }
    rahf::Rollout rollout{.options = options, .prompts = prompts, .latents = state};
    rollout.options.start.reset();
    rollout.options.steering = nullptr;
    if (options.decode) rollout.images = decode(state);
    if (options.keep_trajectory) {
      rollout.states = torch::stack(states, 1);
      rollout.log_prob = torch::stack(log_probs, 1);
      rollout.decided = torch::stack(decided, 1);
      rollout.timesteps = torch::arange(steps, 0, -1, torch::kLong);
    }
    return rollout;
  }

  rahf::StepTerms step_terms(const rahf::Rollout& rollout, const torch::Tensor& steps,
                             const rahf::TermsAsked& asked) override {
    rahf::Shapes shapes("ToyGenerator::step_terms");
    shapes.check("steps", steps, {static_cast<std::int64_t>(rollout.prompts.size()), "S"},
                 torch::kLong);
    const auto guidance =
        asked.guidance_scale < 0 ? rollout.options.guidance_scale : asked.guidance_scale;
    const auto theta = theta_of(rollout.prompts, rahf::Policy::kTrained, guidance);
    const auto reference = theta_of(rollout.prompts, rahf::Policy::kReference, guidance);
    std::vector<torch::Tensor> log_probs, kls, decided;
    for (std::int64_t i = 0; i < steps.size(0); ++i) {
      std::vector<torch::Tensor> own_log_probs, own_kls, own_decided;
      for (std::int64_t s = 0; s < steps.size(1); ++s) {
        const auto t = steps[i][s].item<std::int64_t>();
        const auto state = rollout.states[i][t].unsqueeze(0);
        const auto next = rollout.states[i][t + 1].unsqueeze(0);
        const auto own = theta[i].unsqueeze(0), base = reference[i].unsqueeze(0);
        own_log_probs.push_back(log_prob(state, next, own, t, rollout.options));
        own_decided.push_back(decides(state, next));
        if (asked.kl) own_kls.push_back(kl(state, next, own, base, t, rollout.options));
      }
      log_probs.push_back(torch::cat(own_log_probs));
      decided.push_back(torch::cat(own_decided));
      if (asked.kl) kls.push_back(torch::cat(own_kls));
    }
    return {.log_prob = torch::stack(log_probs),
            .kl = asked.kl ? torch::stack(kls) : torch::Tensor(),
            .decided = torch::stack(decided)};
  }

  torch::Tensor sample_through(const rahf::Prompts& prompts, const rahf::BackpropOptions& options,
                               const rahf::Draws& draws) override {
    if (discrete_) return Generator::sample_through(prompts, options, draws);
    const auto& sampling = options.sampling;
    const auto theta = theta_of(prompts, sampling.policy, sampling.guidance_scale);
    auto state = first_state(theta.detach(), sampling, draws);
    for (std::int64_t t = 0; t < sampling.num_steps; ++t) {
      bool graph = false;
      for (const auto step : options.graph_steps) graph |= step == t;
      if (!graph && options.detach_state) state = state.detach();
      const auto clean = graph ? clean_of(state, theta) : clean_of(state, theta).detach();
      if (t == options.decode_at) return decode(clean);
      state = state + (clean - state) / static_cast<double>(sampling.num_steps - t) +
              sampling.stochasticity / 2 * draws.normal("step", t, state.sizes());
    }
    return decode(state);
  }

  torch::Tensor inpaint(const torch::Tensor& images, const torch::Tensor& masks,
                        const rahf::Prompts& prompts, const rahf::SampleOptions& options,
                        const rahf::Draws& draws) override {
    const auto made = sample(prompts, options, draws).images;
    return torch::where(masks.unsqueeze(1), made, images);
  }

  torch::Tensor encode(const torch::Tensor& images) override {
    const torch::NoGradGuard no_grad;
    const auto red = torch::avg_pool2d(images.slice(1, 0, 1), {2, 2});  // [B, 1, h, w]
    if (discrete_) return (red.squeeze(1) > 0.5).to(torch::kLong);
    return torch::logit(red, 1e-6);
  }
  torch::Tensor decode(const torch::Tensor& latents) override {
    const auto red = discrete_ ? torch::tensor({0.1F, 0.9F, 0.5F}).index({latents}).unsqueeze(1)
                               : torch::sigmoid(latents);
    const auto rest = torch::full({red.size(0), 2, red.size(2), red.size(3)}, 0.25F);
    return torch::cat({red, rest}, 1).repeat_interleave(2, 2).repeat_interleave(2, 3);
  }

  rahf::Corrupted corrupt(const torch::Tensor& latents, const torch::Tensor& level,
                          const rahf::Draws& draws) override {
    const torch::NoGradGuard no_grad;
    if (discrete_) {
      const auto masked = draws.uniform("mask", 0, latents.sizes()) < level.view({-1, 1, 1});
      return {.clean = latents,
              .state = latents.masked_fill(masked, kMask),
              .level = level,
              .target = latents};
    }
    const auto share = level.view({-1, 1, 1, 1});
    const auto noise = draws.normal("noise", 0, latents.sizes());
    return {.clean = latents,
            .state = (1 - share) * latents + share * noise,
            .level = level,
            .target = latents};
  }
  torch::Tensor predict(const rahf::Corrupted& corrupted, const rahf::Prompts& prompts,
                        rahf::Policy policy, double guidance_scale) override {
    const auto theta = theta_of(prompts, policy, guidance_scale);
    if (discrete_) return torch::stack({torch::zeros_like(theta), theta}, 1);
    return clean_of(corrupted.state, theta);
  }
  torch::Tensor error(const torch::Tensor& prediction, const rahf::Corrupted& corrupted) override {
    if (!discrete_) return (prediction - corrupted.target).square().mean(1);
    const auto chosen =
        torch::log_softmax(prediction, 1).gather(1, corrupted.target.unsqueeze(1)).squeeze(1);
    return -chosen * (corrupted.state == kMask);
  }
  torch::Tensor clean_estimate(const torch::Tensor& prediction,
                               const rahf::Corrupted& corrupted) override {
    return discrete_ ? Generator::clean_estimate(prediction, corrupted) : prediction;
  }

  std::vector<rahf::OptimisedParameter> trainable() override {
    return {{.name = "theta", .value = theta_}};
  }
  void update_old(double decay) override {
    const torch::NoGradGuard no_grad;
    old_.mul_(decay).add_(theta_, 1 - decay);
  }
  void save(const std::filesystem::path& folder) const override {
    std::filesystem::create_directories(folder);
    rahf::io::write_safetensors(folder / "theta.safetensors", {{"theta", theta_.detach()}});
  }

 private:
  /// [B, h, w]; with a gradient under kTrained.
  torch::Tensor theta_of(const rahf::Prompts& prompts, rahf::Policy policy, double guidance) const {
    const auto& values = policy == rahf::Policy::kTrained     ? theta_
                         : policy == rahf::Policy::kReference ? reference_
                                                              : old_;
    std::vector<std::int64_t> rows;
    for (const auto& prompt : prompts) rows.push_back(prompt.text.starts_with("red") ? 0 : 1);
    const auto conditional = values.index_select(0, torch::tensor(rows));
    if (guidance == 1) return conditional;
    const auto none = values[2].unsqueeze(0);
    return none + guidance * (conditional - none);
  }

  static torch::Tensor clean_of(const torch::Tensor& state, const torch::Tensor& theta) {
    return theta.unsqueeze(1) + 0.5 * state;
  }

  torch::Tensor first_state(const torch::Tensor& theta, const rahf::SampleOptions& options,
                            const rahf::Draws& draws) const {
    if (discrete_) return torch::full(theta.sizes(), kMask, torch::kLong);
    const std::vector<std::int64_t> sizes = {theta.size(0), 1, grid_.height, grid_.width};
    if (options.start.defined()) return options.start.expand(sizes).contiguous();
    return draws.normal("start", 0, sizes);
  }

  torch::Tensor mean_of(const torch::Tensor& state, const torch::Tensor& theta, std::int64_t t,
                        std::int64_t steps) const {
    return state + (clean_of(state, theta) - state) / static_cast<double>(steps - t);
  }

  torch::Tensor advance(const torch::Tensor& state, const torch::Tensor& theta, std::int64_t t,
                        const rahf::SampleOptions& options, const rahf::Draws& draws) const {
    if (discrete_) {
      const auto arm = (draws.uniform("arm", t, theta.sizes()) < torch::sigmoid(theta));
      const auto turn =
          (torch::arange(grid_.height * grid_.width).remainder(options.num_steps) == t)
              .view({1, grid_.height, grid_.width});
      return torch::where(turn & (state == kMask), arm.to(torch::kLong), state);
    }
    return mean_of(state, theta, t, options.num_steps) +
           options.stochasticity / 2 * draws.normal("step", t, state.sizes());
  }

  torch::Tensor decides(const torch::Tensor& state, const torch::Tensor& next) const {
    if (discrete_) return (state == kMask) & (next != kMask);
    return torch::ones({state.size(0), grid_.height, grid_.width}, torch::kBool);
  }

  torch::Tensor log_prob(const torch::Tensor& state, const torch::Tensor& next,
                         const torch::Tensor& theta, std::int64_t t,
                         const rahf::SampleOptions& options) const {
    if (discrete_) {
      const auto chosen = torch::log_sigmoid(torch::where(next == 1, theta, -theta));
      return torch::where(decides(state, next), chosen, torch::zeros_like(chosen));
    }
    const auto sigma = options.stochasticity / 2;
    if (sigma == 0) return torch::zeros_like(theta);
    const auto off = next - mean_of(state, theta, t, options.num_steps);
    return (-off.square() / (2 * sigma * sigma) - std::log(sigma) - 0.5 * std::log(2 * M_PI))
        .mean(1);
  }

  torch::Tensor kl(const torch::Tensor& state, const torch::Tensor& next,
                   const torch::Tensor& theta, const torch::Tensor& reference, std::int64_t t,
                   const rahf::SampleOptions& options) const {
    if (discrete_) {
      const auto p = torch::sigmoid(theta);
      const auto all = p * (torch::log_sigmoid(theta) - torch::log_sigmoid(reference)) +
                       (1 - p) * (torch::log_sigmoid(-theta) - torch::log_sigmoid(-reference));
      return all * decides(state, next);
    }
    const auto sigma = options.stochasticity / 2;
    const auto off = mean_of(state, theta, t, options.num_steps) -
                     mean_of(state, reference, t, options.num_steps);
    return (off.square() / (2 * sigma * sigma)).mean(1);
  }

  rahf::SteeringPoint point(const torch::Tensor& state, const torch::Tensor& theta,
                            std::int64_t step, std::int64_t steps) {
    return {.step = step,
            .num_steps = steps,
            .state = state,
            .noise_level = 1 - static_cast<double>(step) / static_cast<double>(steps),
            .clean_images = [this, theta](const torch::Tensor& at) {
              if (!discrete_) return decode(clean_of(at, theta));
              return decode(torch::where(at == kMask, (theta > 0).to(torch::kLong), at));
            }};
  }

  bool discrete_;
  rahf::Grid grid_;
  torch::Tensor theta_, reference_, old_;
};
