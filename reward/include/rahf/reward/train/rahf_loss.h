#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rahf/core/options.h"
#include "rahf/core/random.h"
#include "rahf/core/train/loss_terms.h"
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

/// What a batch teaches, as texts and marks. It is drawn before the network runs, so that an update
/// knows how much there is of everything in all of its micro-batches.
struct RahfTasks {
  using Ids = std::vector<std::int64_t>;
  using Words = std::vector<std::string>;

  std::vector<Words> words;     ///< Of the prompts.
  std::array<Ids, 6> pictures;  ///< Per score, then per map: which pictures of the batch learn it.
  TokenBatch marked;            ///< The prompts with their misaligned words marked.
  Ids caption_pictures;         ///< Those that got a text from the CaptionStream.
  std::vector<CaptionTask> captions;
  TokenBatch written;  ///< What to write for these texts; the mask holds the tokens that count.

  /// Of every term of rahf_loss().
  train::LossCounts counts;
};

/// Draws the tasks of a batch.
/// @param captions  null, or the source of texts for pictures that show all of their prompt
/// @param engine    draws
RahfTasks rahf_tasks(Variant variant, const PromptCodec& codec, const Batch& batch,
                     const RahfLossOptions& options, const CaptionStream* captions,
                     std::mt19937_64& engine);

/// The training loss of one batch (the paper, section 4: pixel MSE, score MSE, teacher-forced
/// cross-entropy, weighted), plus the one-pass word loss and captions from aligned pictures. The
/// terms with a weight, of these:
///
///     heatmap       over pictures and maps: the mean over pixels
///     score         over pictures and scores
///     sequence      over the tokens of the marked prompts, end included
///     word          over words
///     caption       over the tokens that count in what is written for the CaptionStream's texts
///     caption_word  over the words of those of these texts that hide none
///
/// @throws ShapeError if the batch's pictures are not of the model's size.
train::LossTerms rahf_loss(RahfModelImpl& model, const PromptCodec& codec, const Batch& batch,
                           const RahfTasks& tasks, const RahfLossOptions& options);

}  // namespace rahf::reward

template <>
struct rahf::EnumNames<rahf::reward::HeatmapLoss> {
  static constexpr std::array<std::pair<rahf::reward::HeatmapLoss, std::string_view>, 2> value = {
      {{rahf::reward::HeatmapLoss::kMse, "mse"},
       {rahf::reward::HeatmapLoss::kCrossEntropy, "cross-entropy"}}};
};
