#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rahf/core/options.h"
#include "rahf/reward/weighting/repair_mask.h"
#include "rahf/reward/weighting/weighting_map.h"
#include "rahf/rl/objectives/objective.h"
#include "rahf/rl/objectives/reference_pool.h"

namespace rahf::rl {

/// Where the gradient enters the sampler.
enum class GraphSteps {
  kLast,        ///< The last K steps: DRaFT-K.
  kRandomLast,  ///< From a random step to the end, drawn once an update: AlignProp.
  kOne,         ///< One random step, whose clean estimate is judged: ReFL.
};

/// What the reward r of a picture becomes as a loss.
enum class RewardLoss {
  kNegative,  ///< -r
  kHinge,     ///< max(0, target - r)
  kDistance,  ///< |target - r|
};

/// Changing only what a heatmap marks, as Focus-N-Fix (Xing et al. 2025, arXiv 2501.06481).
struct FocusOptions {
  double weight = 0;
  weighting::MapSource source = weighting::MapSource::kImplausibility;
  weighting::RepairMaskOptions mask;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("weight", self.weight,
          "of the root mean square by which pictures leave the reference's outside of what the "
          "heatmap marks there; >= 0");
    visit("source", self.source, "heatmap of the reference's picture");
    visit("mask", self.mask, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Disturbances of pictures before they are judged, so that what a reward likes must be robust.
struct DisturbanceOptions {
  std::int64_t shift = 0;
  double noise = 0;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("shift", self.shift,
          "pixels by which a picture is shifted at most, edges repeated; >= 0");
    visit("noise", self.noise, "standard deviation of noise on pixels; >= 0");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Finetuning by the reward's gradient through the sampler.
///
/// ReFL (Xu et al. 2023, arXiv 2304.05977), DRaFT-K and DRaFT-LV (Clark et al. 2024, arXiv
/// 2309.17400), AlignProp (Prabhudesai et al. 2023, arXiv 2310.03739), Focus-N-Fix; the defaults
/// are DRaFT-1's. See registry.h for the others'. Memory grows with the steps that keep a graph.
struct DirectGradientOptions {
  std::int64_t batch_size = 16;
  std::int64_t micro_batch = 4;
  std::int64_t steps = 50;
  double guidance_scale = 7.5;
  double stochasticity = 0;
  std::string negative_prompt;
  GraphSteps graph = GraphSteps::kLast;
  std::int64_t graph_steps = 1;
  double random_mean = -1;
  double random_std = 0;
  std::int64_t first_step = 0;
  std::int64_t last_step = -1;
  bool detach_state = true;
  bool checkpointing = false;
  std::int64_t noise_draws = 0;
  double noise_level = 0.02;
  RewardLoss loss = RewardLoss::kNegative;
  double target = 0;
  double scale = 1;
  FocusOptions focus;
  DisturbanceOptions disturbance;
  ReferencePoolOptions reference;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("batch_size", self.batch_size, "pictures of an update, a prompt each; > 0");
    visit("micro_batch", self.micro_batch, "pictures whose gradient is taken at once; > 0");
    visit("steps", self.steps, "T, steps of the sampler; > 0");
    visit("guidance_scale", self.guidance_scale, "classifier-free guidance; 1 is none; >= 0");
    visit("stochasticity", self.stochasticity, "DDIM's eta, or the noise of a flow's SDE; >= 0");
    visit("negative_prompt", self.negative_prompt, "what guidance leads away from");
    visit("graph", self.graph, "which steps keep a graph");
    visit("graph_steps", self.graph_steps, "last: K; 0 is all; in [0, steps]");
    visit("random_mean", self.random_mean,
          "random-last: mean of the normal distribution of the first step that keeps one; < 0 "
          "draws it uniformly");
    visit("random_std", self.random_std, "random-last: its standard deviation; >= 0");
    visit("first_step", self.first_step, "one: least step; >= 0");
    visit("last_step", self.last_step, "one: greatest step; < 0 is the last");
    visit("detach_state", self.detach_state,
          "cut the state's own path at steps without a graph (DRaFT); else the sampler's linear "
          "path through them stays (AlignProp)");
    visit("checkpointing", self.checkpointing, "compute each network call again going back");
    visit("noise_draws", self.noise_draws,
          "DRaFT-LV: times that the last step is taken again from new noise, averaged with the "
          "sampler's own; >= 0");
    visit("noise_level", self.noise_level, "DRaFT-LV: noise level of the last step; in (0, 1)");
    visit("loss", self.loss, "what a reward becomes as a loss");
    visit("target", self.target, "hinge, distance: the reward that is enough");
    visit("scale", self.scale, "what the loss is multiplied by; > 0");
    visit("focus", self.focus, "");
    visit("disturbance", self.disturbance, "");
    visit("reference", self.reference, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// What rewards become as a loss. @param rewards [B] f32  @return [B] f32
torch::Tensor reward_loss(const torch::Tensor& rewards, RewardLoss kind, double target);

/// Root mean square of images - reference outside of the marks, per picture.
/// @param images, reference  [B, 3, H, W] f32
/// @param marks              [B, H, W] bool
/// @return                   [B] f32
torch::Tensor change_outside(const torch::Tensor& images, const torch::Tensor& reference,
                             const torch::Tensor& marks);

class DirectGradient : public Objective {
 public:
  /// @throws ConfigError unless the generator has a gradient path to its pictures, and the reward
  ///         one from them.
  DirectGradient(DirectGradientOptions options, Stage stage);

  std::int64_t updates_per_round() const override { return 1; }
  Measures begin_round(std::int64_t round) override;
  std::int64_t updates() const override { return 1; }
  std::int64_t pieces(std::int64_t update) const override;
  Piece piece(std::int64_t update, std::int64_t piece) override;
  torch::Tensor pictures() const override { return pictures_; }

 private:
  torch::Tensor disturbed(const torch::Tensor& images, const Draws& draws) const;
  Piece reward_piece(const Prompts& prompts, const Draws& draws);

  DirectGradientOptions options_;
  ReferencePool pool_;

  // Of the present round.
  std::int64_t index_ = 0;
  std::vector<std::int64_t> graph_steps_;
  std::int64_t decode_at_ = -1;
  torch::Tensor pictures_;
};

}  // namespace rahf::rl

template <>
struct rahf::EnumNames<rahf::rl::GraphSteps> {
  using Steps = rahf::rl::GraphSteps;
  static constexpr std::array<std::pair<Steps, std::string_view>, 3> value = {
      {{Steps::kLast, "last"}, {Steps::kRandomLast, "random-last"}, {Steps::kOne, "one"}}};
};

template <>
struct rahf::EnumNames<rahf::rl::RewardLoss> {
  using Loss = rahf::rl::RewardLoss;
  static constexpr std::array<std::pair<Loss, std::string_view>, 3> value = {
      {{Loss::kNegative, "negative"}, {Loss::kHinge, "hinge"}, {Loss::kDistance, "distance"}}};
};
