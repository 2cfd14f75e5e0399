#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "rahf/core/draws.h"
#include "rahf/core/optimised_parameter.h"
#include "rahf/core/prompt.h"

namespace rahf {

/// Size of everything that a generator reports per location.
struct Grid {
  std::int64_t height = 0;
  std::int64_t width = 0;
  bool operator==(const Grid&) const = default;
};

/// What a generator is and offers.
struct GeneratorTraits {
  Grid grid;                       ///< Of log-probabilities, losses and weighting maps.
  std::int64_t image_height = 0;   ///< Pixels.
  std::int64_t image_width = 0;    ///< Pixels.
  bool discrete = false;           ///< States are token ids, i64; else latents, f32.
  bool sample_through = false;     ///< Pictures with a gradient path to trainable() are offered.
  bool gradient_steering = false;  ///< Clean-image estimates have a gradient path from the state.
  bool inpaint = false;
};

/// Which weights answer.
enum class Policy {
  kTrained,    ///< As they are now.
  kReference,  ///< As training found them (adapters off).
  kOld,  ///< A slow copy, moved by update_old(); as training found them before the first move.
};

/// What a steering hook sees between two sampling steps.
struct SteeringPoint {
  std::int64_t step = 0;       ///< Steps done, in [1, num_steps).
  std::int64_t num_steps = 0;  ///< T
  torch::Tensor state;         ///< Batch first: latents f32, or ids i64.
  double noise_level = 0;      ///< Share of noise (or of masked tokens) left, in [0, 1].
  /// Decodes the clean-image estimate of a state: [B, 3, H, W] f32 RGB in [0, 1], with a gradient
  /// path from it where traits().gradient_steering. Costs a network and a decoder pass.
  std::function<torch::Tensor(const torch::Tensor& state)> clean_images;
};

/// What it answers.
struct Steered {
  torch::Tensor state;      ///< Undefined leaves it as it is.
  torch::Tensor ancestors;  ///< [B] i64, or undefined: sample i goes on as a copy of ancestors[i];
                            ///< all that the sampler keeps is re-indexed, before `state` is taken.
};
using SteeringHook = std::function<Steered(const SteeringPoint&)>;

/// How pictures are sampled. A generator refuses what it cannot do.
struct SampleOptions {
  std::int64_t num_steps = 20;  ///< T, denoising or unmasking steps; > 0.
  double guidance_scale = 1.0;  ///< Classifier-free guidance; 1 is none; >= 0.
  std::string negative_prompt;  ///< What guidance leads away from.
  double stochasticity = 0;     ///< DDIM's eta, the noise of a flow's SDE, or the temperature of
                                ///< Muse's choice; 0 is the deterministic form; >= 0.
  torch::Tensor start;          ///< First state, [B, ...] or [1, ...] (one for a group); undefined
                                ///< draws it.
  Policy policy = Policy::kTrained;
  bool keep_trajectory = false;  ///< Keep states and log-probabilities, as training needs.
  bool decode = true;            ///< Make pictures of the last state.
  SteeringHook steering;         ///< Empty, or called between steps.
};

/// What sampling left behind: the pictures, and what a loop needs to go over the steps again.
struct Rollout {
  SampleOptions options;    ///< As sampled, without `start` and `steering`.
  Prompts prompts;          ///< B
  torch::Tensor images;     ///< [B, 3, H, W] f32 RGB in [0, 1]; undefined without `decode`
  torch::Tensor latents;    ///< [B, ...] the last state
  torch::Tensor states;     ///< [B, T + 1, ...]; this and what follows only with keep_trajectory
  torch::Tensor log_prob;   ///< [B, T, h, w] f32
  torch::Tensor decided;    ///< [B, T, h, w] bool, the locations that a step decided
  torch::Tensor timesteps;  ///< [T] the sampler's own measure of noise, from most to least
  std::map<std::string, torch::Tensor> kept;  ///< [B, ...] what else step_terms() needs
};

/// The samples `rows` of a rollout, in that order; one may be taken more than once.
/// @param rows  [R] i64, in [0, B)
/// @throws ShapeError if a row is not in the rollout.
Rollout select(const Rollout& rollout, const torch::Tensor& rows);

/// Per step and location of a rollout, recomputed with a gradient to trainable().
struct StepTerms {
  torch::Tensor log_prob;  ///< [B, S, h, w] f32; mean over channels, so that its mean over
                           ///< locations is what scalar implementations of latents compute
  torch::Tensor kl;        ///< [B, S, h, w] f32 to Policy::kReference; undefined if not asked for
  torch::Tensor decided;   ///< [B, S, h, w] bool, the locations that the step decided
};

struct TermsAsked {
  bool kl = false;
  double guidance_scale = -1;  ///< Of the recomputed policy; < 0 is that of the rollout.
};

/// How pictures with a gradient path are made (ReFL, DRaFT-K, AlignProp).
struct BackpropOptions {
  SampleOptions sampling;
  std::vector<std::int64_t> graph_steps;  ///< Steps (in [0, T)) whose network call keeps a graph.
  std::int64_t decode_at =
      -1;                      ///< Decode the clean estimate after this step; -1 is the last state.
  bool detach_state = true;    ///< Cut the state's own path at steps outside graph_steps, so that
                               ///< memory grows with graph_steps alone (DRaFT-K); false keeps the
                               ///< sampler's linear path through them (AlignProp).
  bool checkpointing = false;  ///< Recompute each network call in the backward pass.
};

/// Clean states made noisy (or tokens masked) by the forward process.
struct Corrupted {
  torch::Tensor clean;   ///< [B, ...] as given
  torch::Tensor state;   ///< [B, ...] latents f32, or ids i64 with masked ones
  torch::Tensor level;   ///< [B] f32 in [0, 1], the share of noise or of masked tokens
  torch::Tensor target;  ///< [B, ...] what predict() should give: noise, velocity, or ids
};

/// A text-to-image model that can be sampled, trained and taken apart per location.
///
/// Log-probabilities and losses come back per location, so that a weighting map on the same grid
/// enters any objective by one multiplication.
///
/// Not thread-safe. Every draw comes from `draws`; nothing is random but that.
class Generator {
 public:
  virtual ~Generator() = default;

  virtual GeneratorTraits traits() const = 0;
  virtual torch::Device device() const = 0;

  // --- Sampling -------------------------------------------------------------------------------

  /// Samples pictures without a gradient.
  /// @throws ConfigError for options that this generator cannot do.
  virtual Rollout sample(const Prompts& prompts, const SampleOptions& options,
                         const Draws& draws) = 0;
  /// Goes over steps of a rollout again, with a gradient to trainable(). Before an update it gives
  /// the rollout's own log_prob, to f32 rounding.
  /// @param steps  [B, S] i64 in [0, T), each sample's own
  virtual StepTerms step_terms(const Rollout& rollout, const torch::Tensor& steps,
                               const TermsAsked& asked) = 0;
  /// @return [B, 3, H, W] f32 RGB in [0, 1] with a gradient path to trainable()
  /// @throws ConfigError unless traits().sample_through.
  virtual torch::Tensor sample_through(const Prompts& prompts, const BackpropOptions& options,
                                       const Draws& draws);
  /// Redraws what the masks mark.
  /// @param images  [B, 3, H, W] f32 RGB in [0, 1]
  /// @param masks   [B, H, W] bool, true where the picture is to be redrawn
  /// @return        [B, 3, H, W] f32 RGB in [0, 1]
  /// @throws ConfigError unless traits().inpaint.
  virtual torch::Tensor inpaint(const torch::Tensor& images, const torch::Tensor& masks,
                                const Prompts& prompts, const SampleOptions& options,
                                const Draws& draws);

  // --- Forward process ------------------------------------------------------------------------

  /// @param images  [B, 3, H, W] f32 RGB in [0, 1]  @return [B, ...] latents or ids, no gradient
  virtual torch::Tensor encode(const torch::Tensor& images) = 0;
  /// @return [B, 3, H, W] f32 RGB in [0, 1]; differentiable in latents that are not ids
  virtual torch::Tensor decode(const torch::Tensor& latents) = 0;
  /// @param level  [B] f32 in [0, 1]
  virtual Corrupted corrupt(const torch::Tensor& latents, const torch::Tensor& level,
                            const Draws& draws) = 0;
  /// The raw prediction for noisy states: [B, C, h, w] latents, or logits [B, V, h, w]. With a
  /// gradient to trainable() under Policy::kTrained, without for the others.
  virtual torch::Tensor predict(const Corrupted& corrupted, const Prompts& prompts, Policy policy,
                                double guidance_scale) = 0;
  /// The model's own training loss, not reduced over locations.
  /// @return [B, h, w] f32; 0 where a token was not masked
  virtual torch::Tensor error(const torch::Tensor& prediction, const Corrupted& corrupted) = 0;
  /// The clean latents that a prediction amounts to, as decode() takes them; differentiable.
  /// @throws ConfigError unless traits().sample_through.
  virtual torch::Tensor clean_estimate(const torch::Tensor& prediction, const Corrupted& corrupted);

  // --- Weights --------------------------------------------------------------------------------

  virtual std::vector<OptimisedParameter> trainable() = 0;
  /// old = decay * old + (1 - decay) * trained.
  virtual void update_old(double decay) = 0;
  /// Writes a folder that loads again: the whole model, or the adapters alone where there are any.
  virtual void save(const std::filesystem::path& folder) const = 0;
};

}  // namespace rahf
