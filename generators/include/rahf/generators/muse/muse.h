#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "rahf/core/generator.h"
#include "rahf/core/nn/lora.h"
#include "rahf/generators/muse/masked_sampling.h"
#include "rahf/generators/muse/uvit2d.h"
#include "rahf/generators/policy_weights.h"
#include "rahf/generators/text_condition.h"

namespace rahf::generators {

struct MuseOptions {
  std::int64_t factor = 16;  ///< Pixels per token, each way; > 0.
  MaskSchedule schedule = MaskSchedule::kCosine;
  double aesthetic_score = 6;  ///< What the network is told of the picture to be made.
  double crop_top = 0;         ///< Pixels; the same.
  double crop_left = 0;        ///< Pixels; the same.
};

/// What a Muse is made of.
struct MuseParts {
  UVit2DModel network{nullptr};
  /// B prompts -> [B, L, encoder_hidden_size] and [B, cond_embed_dim]; with a gradient path where
  /// the text encoder is trained along.
  std::function<TextStates(const Prompts&)> text;
  /// [B, 3, H, W] f32 RGB in [0, 1] -> [B, h, w] i64 in [0, V).
  std::function<torch::Tensor(const torch::Tensor&)> encode;
  /// [B, h, w] i64 in [0, V) -> [B, 3, H, W] RGB, not clamped.
  std::function<torch::Tensor(const torch::Tensor&)> decode;
  /// What training changes.
  std::function<std::vector<OptimisedParameter>()> trainable;
  /// Writes a folder that loads again.
  std::function<void(const std::filesystem::path&)> save;
};

/// Text-to-image by masked tokens (Muse, Chang et al. 2023, arXiv 2301.00704) in aMUSEd's form.
/// States are token ids [B, h, w] i64, in which UVit2DOptions::mask_token() is what is not known.
///
/// SampleOptions: stochasticity is the temperature of the choice at the first step, falling to 0 at
/// the last; the tokens themselves are drawn at every stochasticity. A step's policy is
/// masked_step_log_prob() with the noise of the choice given; a location is decided in the step
/// that uncovers its token. Rollout::timesteps are the shares of masked tokens before each step,
/// and so are the levels of corrupt().
///
/// A picture depends on its prompt, its draws and its start alone, not on its batch, up to
/// rounding.
class Muse : public Generator {
 public:
  /// @throws ConfigError if options and network do not go together.
  explicit Muse(MuseParts parts, MuseOptions options = {});

  GeneratorTraits traits() const override;
  torch::Device device() const override;
  const MuseOptions& options() const { return options_; }
  UVit2DModel& network() { return parts_.network; }

  /// SampleOptions::start is a grid of ids: its known tokens stay, its masked ones are drawn.
  /// @throws ConfigError for options out of range, ShapeError for a start of another shape.
  Rollout sample(const Prompts& prompts, const SampleOptions& options, const Draws& draws) override;
  /// KL is sum_v p log(p / p_ref) of the tokens at each location that is masked before the step.
  /// @throws ConfigError if the rollout has no trajectory.
  StepTerms step_terms(const Rollout& rollout, const torch::Tensor& steps,
                       const TermsAsked& asked) override;
  /// Draws the tokens again whose cell has a marked pixel, by the linear schedule; the others stay
  /// as encode() gives them, so that pixels outside the masks are reconstructions.
  torch::Tensor inpaint(const torch::Tensor& images, const torch::Tensor& masks,
                        const Prompts& prompts, const SampleOptions& options,
                        const Draws& draws) override;
  /// Masks tokens of given pictures, as many as are masked after step i = T - floor(T strength),
  /// and takes the steps from i on.
  /// @param images    [B, 3, H, W] f32 RGB in [0, 1]
  /// @param strength  in (0, 1], at least 1 / T
  /// @return          pictures and tokens, no trajectory
  Rollout image_to_image(const torch::Tensor& images, double strength, const Prompts& prompts,
                         const SampleOptions& options, const Draws& draws);

  torch::Tensor encode(const torch::Tensor& images) override;
  torch::Tensor decode(const torch::Tensor& latents) override;
  /// Masks max(1, round(S level)) tokens.
  Corrupted corrupt(const torch::Tensor& latents, const torch::Tensor& level,
                    const Draws& draws) override;
  torch::Tensor predict(const Corrupted& corrupted, const Prompts& prompts, Policy policy,
                        double guidance_scale) override;
  /// Cross-entropy of the masked tokens.
  torch::Tensor error(const torch::Tensor& prediction, const Corrupted& corrupted) override;

  /// Trains and saves this adapter of network() from now on, and nothing else.
  void train_adapter(nn::Lora adapter);
  std::vector<OptimisedParameter> trainable() override;
  void update_old(double decay) override;
  void save(const std::filesystem::path& folder) const override;

 private:
  struct Texts;
  struct Walk;
  Texts texts(const Prompts& prompts, const std::string& negative, double guidance);
  Rollout walk(const Prompts& prompts, const SampleOptions& options, const Draws& draws,
               const Walk& how);
  PolicyWeights& policies();
  void check_images(const char* where, const torch::Tensor& images, std::int64_t batch) const;

  MuseParts parts_;
  MuseOptions options_;
  std::optional<nn::Lora> adapter_;
  std::optional<PolicyWeights> policies_;  ///< Since trainable() was first asked for, or a policy.
};

}  // namespace rahf::generators
