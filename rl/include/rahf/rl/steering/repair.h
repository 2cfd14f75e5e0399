#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "rahf/core/draws.h"
#include "rahf/core/generator.h"
#include "rahf/core/options.h"
#include "rahf/core/prompt.h"
#include "rahf/core/reward.h"
#include "rahf/reward/weighting/repair_mask.h"
#include "rahf/reward/weighting/weighting_map.h"

namespace rahf::rl {

struct RepairOptions {
  weighting::MapSource source = weighting::MapSource::kImplausibility;
  weighting::RepairMaskOptions mask;
  std::string score = "plausibility";
  std::int64_t candidates = 4;
  std::int64_t rounds = 2;
  double gain = 0.02;
  bool keep_outside = true;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("source", self.source, "heatmap that marks what to paint again");
    visit("mask", self.mask, "");
    visit("score", self.score, "score of the reward that chooses among candidates");
    visit("candidates", self.candidates, "pictures painted per round; > 0");
    visit("rounds", self.rounds, "times that a picture is repaired at most; > 0");
    visit("gain", self.gain, "least rise of the score that a candidate is kept for; >= 0");
    visit("keep_outside", self.keep_outside, "pixels outside of the mask stay as they are");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

struct Repair {
  torch::Tensor images;         ///< [B, 3, H, W] f32
  torch::Tensor mask;           ///< [B, H, W] bool, all that was painted again and kept
  torch::Tensor before, after;  ///< [B] f32, the score
  torch::Tensor rounds;         ///< [B] i64, rounds whose candidate was kept
  torch::Tensor marked;         ///< [B] bool, whether the first heatmap marked anything
};

/// Paints again what the reward's heatmap marks, and keeps the candidate with the highest score if
/// it rises by `gain`; goes on until nothing is marked, nothing rises, or `rounds` are done (the
/// paper, section 5.3). Pictures without a mark are left alone, bit for bit.
///
/// What candidate c of round r of picture i is does not depend on the batch.
/// @param images  [B, 3, H, W] f32 RGB in [0, 1], of the generator's size
/// @param masks   [B, H, W] bool instead of the heatmap's in the first and only round (a control),
///                or undefined
/// @throws ConfigError if the generator cannot inpaint or the reward lacks the map or the score
Repair repair(Generator& generator, Reward& reward, const torch::Tensor& images,
              const Prompts& prompts, const SampleOptions& sampling, const RepairOptions& options,
              const Draws& draws, const torch::Tensor& masks = {});

}  // namespace rahf::rl
