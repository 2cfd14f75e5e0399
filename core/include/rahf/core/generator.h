#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "rahf/core/prompt.h"
#include "rahf/core/random.h"

namespace rahf {

/// Size of everything that a generator reports per location.
struct Grid {
  std::int64_t height = 0;
  std::int64_t width = 0;
  bool operator==(const Grid&) const = default;
};

/// What a steering hook sees between two denoising steps, and may change.
struct SteeringPoint {
  std::int64_t step = 0;       ///< 0 before the first denoising step.
  std::int64_t num_steps = 0;  ///< T.
  torch::Tensor& state;        ///< The sampler's state, batch first; may be shifted or re-ordered.
  /// Decodes the current clean-image estimate: [B, 3, H, W] f32 RGB in [0, 1], with a gradient
  /// path from `state` when gradients are on. Costs a decoder pass; call it only if needed.
  std::function<torch::Tensor()> clean_images;
};
using SteeringHook = std::function<void(SteeringPoint&)>;

/// How pictures are sampled. A value; a sampler ignores what it has no use for, and says so.
struct SampleOptions {
  std::int64_t num_steps = 20;   ///< T, denoising or unmasking steps; > 0.
  double guidance_scale = 1.0;   ///< Classifier-free guidance; 1 is none; >= 0.
  bool keep_trajectory = false;  ///< Keep states and log-probabilities, as training needs.
  SteeringHook steering;         ///< Empty, or called between steps.
};

/// What sampling left behind: the pictures, and what a loop needs to go over the steps again.
struct Rollout {
  torch::Tensor images;               ///< [B, 3, H, W] f32  RGB in [0, 1]
  Prompts prompts;                    ///< B
  torch::Tensor log_prob;             ///< [B, T, h, w] f32, or undefined without keep_trajectory
  std::vector<torch::Tensor> states;  ///< T + 1, batch first; empty without keep_trajectory
};

/// Per step and location of a rollout, recomputed with a gradient to trainable().
struct StepTerms {
  torch::Tensor log_prob;  ///< [B, S, h, w] f32
  torch::Tensor kl;        ///< [B, S, h, w] f32 to reference(), or undefined if not asked for
};

struct TermsAsked {
  bool kl = false;
};

/// How images with a gradient path are made (direct-gradient finetuning).
struct BackpropOptions {
  SampleOptions sampling;
  std::int64_t backprop_steps = 1;  ///< K, last denoising steps that keep a graph; in [1, T].
};

/// Adapters are off while it lives: the generator computes as the model that training began with.
class ReferenceScope {
 public:
  explicit ReferenceScope(std::function<void()> restore) : restore_(std::move(restore)) {}
  ReferenceScope(ReferenceScope&& other) noexcept
      : restore_(std::exchange(other.restore_, nullptr)) {}
  ReferenceScope& operator=(ReferenceScope&&) = delete;
  ~ReferenceScope() {
    if (restore_) restore_();
  }

 private:
  std::function<void()> restore_;
};

/// A text-to-image model that can be sampled, trained and taken apart per location.
///
/// Log-probabilities and losses come back per location, so that a weighting map on the same grid
/// enters any objective by one multiplication. The mean over locations of the per-location
/// log-probability is what scalar implementations compute.
class Generator {
 public:
  virtual ~Generator() = default;

  virtual Grid grid() const = 0;

  /// Samples pictures without a gradient.
  virtual Rollout sample(const Prompts& prompts, const SampleOptions& options,
                         const Randomness& random) = 0;

  /// Goes over `steps` (indices in [0, T)) of a rollout again, with a gradient to trainable().
  virtual StepTerms step_terms(const Rollout& rollout, const std::vector<std::int64_t>& steps,
                               const TermsAsked& asked) = 0;

  /// @return [B, 3, H, W] f32 RGB in [0, 1] with a gradient path to trainable()
  virtual torch::Tensor sample_through(const Prompts& prompts, const BackpropOptions& options,
                                       const Randomness& random) = 0;

  /// The model's own training loss, not reduced.
  /// @param images  [B, 3, H, W] f32  RGB in [0, 1]
  /// @return        [B, h, w] f32
  virtual torch::Tensor loss(const torch::Tensor& images, const Prompts& prompts,
                             const Randomness& random) = 0;

  /// Redraws what the masks mark.
  /// @param masks  [B, H, W] bool  true where the picture is to be redrawn
  /// @return       [B, 3, H, W] f32
  virtual torch::Tensor inpaint(const torch::Tensor& images, const torch::Tensor& masks,
                                const Prompts& prompts, const SampleOptions& options,
                                const Randomness& random) = 0;

  virtual std::vector<torch::Tensor> trainable() = 0;
  virtual ReferenceScope reference() = 0;
};

}  // namespace rahf
