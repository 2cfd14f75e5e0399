#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "rahf/core/options.h"
#include "rahf/core/random.h"
#include "rahf/reward/data/sample.h"
#include "rahf/reward/model/rahf.h"
#include "rahf/reward/train/caption_stream.h"

namespace rahf::reward {

enum class HeatmapLoss {
  kMse,           ///< Mean squared error over pixels: the paper's.
  kCrossEntropy,  ///< Binary cross-entropy over pixels; the same minimum, steeper on sparse maps.
};

struct RahfLossOptions {
  double heatmap_weight = 1;
  double score_weight = 1;
  double sequence_weight = 1;
  double word_weight = 0;
  HeatmapLoss heatmap_loss = HeatmapLoss::kMse;
  std::int64_t tasks_per_picture = 0;
  CaptionOptions caption{.weight = 0};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("heatmap_weight", self.heatmap_weight, "weight of the heatmap loss; >= 0");
    visit("score_weight", self.score_weight, "weight of the scores' squared error; >= 0");
    visit("sequence_weight", self.sequence_weight,
          "weight of the teacher-forced cross-entropy of the marked prompt; >= 0");
    visit("word_weight", self.word_weight,
          "weight of the cross-entropy of P(misaligned) by the one-pass way; >= 0");
    visit("heatmap_loss", self.heatmap_loss, "squared error (the paper's), or cross-entropy");
    visit("tasks_per_picture", self.tasks_per_picture,
          "augmented prompt: scores and heatmaps drawn per picture and update; 0 is all six");
    visit("caption", self.caption, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// The parts of the training loss, each a scalar f32 before its weight; undefined if not in use.
/// total() is their weighted sum.
struct RahfLossTerms {
  torch::Tensor heatmap;   ///< Mean over pictures, maps and pixels.
  torch::Tensor score;     ///< Mean over pictures and scores.
  torch::Tensor sequence;  ///< Mean over the tokens of the marked prompts, end included.
  torch::Tensor word;      ///< Mean over words.
  torch::Tensor caption;   ///< Mean over the tokens of captions made by the CaptionStream.

  torch::Tensor total(const RahfLossOptions& options) const;
  /// Name and value of every part in use.
  std::vector<std::pair<std::string_view, torch::Tensor>> parts() const;
};

/// The training loss of one batch (the paper, section 4: pixel MSE, score MSE, teacher-forced
/// cross-entropy, weighted), plus the one-pass word loss and captions from aligned pictures.
///
/// @param captions  null, or the source of texts for pictures that show all of their prompt
/// @param engine    draws the tasks and texts
/// @throws ShapeError if the batch's pictures are not of the model's size.
RahfLossTerms rahf_loss(RahfModelImpl& model, const PromptCodec& codec, const Batch& batch,
                        const RahfLossOptions& options, const CaptionStream* captions,
                        std::mt19937_64& engine);

}  // namespace rahf::reward

template <>
struct rahf::EnumNames<rahf::reward::HeatmapLoss> {
  static constexpr std::array<std::pair<rahf::reward::HeatmapLoss, std::string_view>, 2> value = {
      {{rahf::reward::HeatmapLoss::kMse, "mse"},
       {rahf::reward::HeatmapLoss::kCrossEntropy, "cross-entropy"}}};
};
