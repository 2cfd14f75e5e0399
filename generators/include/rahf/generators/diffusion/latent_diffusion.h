#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "rahf/core/generator.h"
#include "rahf/core/nn/lora.h"
#include "rahf/generators/policy_weights.h"
#include "rahf/generators/schedulers/forward_process.h"
#include "rahf/generators/schedulers/scheduler_options.h"
#include "rahf/generators/schedulers/step_plan.h"

namespace rahf::generators {

struct LatentDiffusionOptions {
  SchedulerOptions scheduler;
  Grid grid = {64, 64};                ///< Of the latents.
  std::int64_t channels = 4;           ///< C, of the latents.
  std::int64_t factor = 8;             ///< Pixels per latent, each way.
  bool inpainting_input = false;       ///< The network reads mask and masked picture as C + 1 more
                                       ///< channels, as inpainting models do.
  torch::Dtype dtype = torch::kFloat;  ///< Of the network's input; states stay f32.
};

/// What a latent diffusion model is made of.
struct LatentDiffusionParts {
  /// (state [B, C, h, w] (inpainting models: [B, 2 C + 1, h, w]), timesteps [B] f32, text states
  /// [B, L, D]) -> prediction [B, C, h, w]. Runs `network`.
  std::function<torch::Tensor(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&)>
      denoise;
  std::shared_ptr<torch::nn::Module> network;
  /// [B, 3, H, W] f32 RGB in [0, 1] -> [B, C, h, w] latents of about unit variance, and back,
  /// unclamped. Not trained along.
  std::function<torch::Tensor(const torch::Tensor&)> encode, decode;
  /// B prompts -> [B, L, D]; with a gradient path where the text encoder is trained along.
  std::function<torch::Tensor(const Prompts&)> text;
  /// What training changes.
  std::function<std::vector<OptimisedParameter>()> trainable;
  /// Writes a folder that loads again.
  std::function<void(const std::filesystem::path&)> save;
};

/// Text-to-image diffusion in latent space (Rombach et al. 2022, arXiv 2112.10752): Stable
/// Diffusion 1.5 and 2.1, their inpainting models, tiny ones, and rectified flows with the same
/// network.
///
/// SampleOptions: stochasticity is DDIM's eta or the noise of a flow's SDE (see Sampler). A step's
/// policy is the normal distribution that the sampler draws the next state from; deterministic
/// steps decide nothing. Levels are those of ForwardProcess.
///
/// A picture depends on its prompt, its draws and its start alone, not on its batch, up to
/// rounding.
class LatentDiffusion : public Generator {
 public:
  LatentDiffusion(LatentDiffusionParts parts, LatentDiffusionOptions options, torch::Device device);

  GeneratorTraits traits() const override;
  torch::Device device() const override { return device_; }
  const LatentDiffusionOptions& options() const { return options_; }
  /// Walks another way from now on, with the same network. @throws ConfigError if prediction and
  /// sampler do not go together.
  void set_sampler(Sampler sampler);

  /// @throws ConfigError for no prompts, or what plan_steps() refuses.
  Rollout sample(const Prompts& prompts, const SampleOptions& options, const Draws& draws) override;
  /// @throws ConfigError if the rollout has no trajectory, no stochastic step, or another
  /// sampler's.
  StepTerms step_terms(const Rollout& rollout, const torch::Tensor& steps,
                       const TermsAsked& asked) override;
  /// At a step outside graph_steps the prediction is a constant. The gradient goes through both
  /// branches of the guidance.
  /// @throws ConfigError if no gradient could reach the picture.
  torch::Tensor sample_through(const Prompts& prompts, const BackpropOptions& options,
                               const Draws& draws) override;
  /// The latents that a mask touches are redrawn, and the others follow the forward process of the
  /// given picture; inpainting models read the picture instead. Pixels outside the mask come back
  /// as they are.
  torch::Tensor inpaint(const torch::Tensor& images, const torch::Tensor& masks,
                        const Prompts& prompts, const SampleOptions& options,
                        const Draws& draws) override;
  /// Starts from given pictures made noisy: the last round(T strength) of the T steps are walked.
  /// @param images    [B, 3, H, W] f32 RGB in [0, 1]
  /// @param strength  in (0, 1]; 1 starts from noise
  /// @return          pictures and latents, no trajectory
  Rollout image_to_image(const torch::Tensor& images, double strength, const Prompts& prompts,
                         const SampleOptions& options, const Draws& draws);

  torch::Tensor encode(const torch::Tensor& images) override;
  torch::Tensor decode(const torch::Tensor& latents) override;
  Corrupted corrupt(const torch::Tensor& latents, const torch::Tensor& level,
                    const Draws& draws) override;
  torch::Tensor predict(const Corrupted& corrupted, const Prompts& prompts, Policy policy,
                        double guidance_scale) override;
  torch::Tensor error(const torch::Tensor& prediction, const Corrupted& corrupted) override;
  torch::Tensor clean_estimate(const torch::Tensor& prediction,
                               const Corrupted& corrupted) override;

  /// The network's layers, for nn::Lora to be put on.
  torch::nn::Module& network() { return *parts_.network; }
  /// Trains and saves this adapter of network() from now on, and nothing else.
  void train_adapter(nn::Lora adapter);
  std::vector<OptimisedParameter> trainable() override;
  void update_old(double decay) override;
  void save(const std::filesystem::path& folder) const override;

 private:
  struct Condition;
  struct Walk;
  Condition condition(const Prompts& prompts, const std::string& negative, double guidance);
  torch::Tensor denoise(const torch::Tensor& state, const torch::Tensor& timesteps,
                        const Condition& condition, bool checkpointing = false);
  Rollout walk(const Prompts& prompts, const SampleOptions& options, const Draws& draws,
               const Walk& how);
  torch::Tensor start(const SampleOptions& options, const StepPlan& plan, std::int64_t batch,
                      const Draws& draws) const;
  /// [B, C + 1, h, w], what an inpainting model reads besides the state.
  torch::Tensor inpainting_input(const torch::Tensor& images, const torch::Tensor& masks);
  PolicyWeights::Scope use(Policy policy);
  void check_images(const char* where, const torch::Tensor& images, std::int64_t batch) const;

  LatentDiffusionParts parts_;
  LatentDiffusionOptions options_;
  torch::Device device_;
  ForwardProcess forward_;
  std::optional<nn::Lora> adapter_;
  std::optional<PolicyWeights> weights_;  ///< Since trainable() was first asked for.
};

}  // namespace rahf::generators
