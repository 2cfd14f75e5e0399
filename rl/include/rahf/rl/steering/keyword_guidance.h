#pragma once

#include <torch/types.h>

#include <array>
#include <string_view>
#include <utility>

#include "rahf/core/draws.h"
#include "rahf/core/generator.h"
#include "rahf/core/options.h"
#include "rahf/core/prompt.h"
#include "rahf/core/reward.h"
#include "rahf/reward/weighting/keywords.h"

namespace rahf::rl {

/// What a second sample's prompt does about the words that the first one missed.
enum class KeywordWay {
  kEmphasise,  ///< They condition more strongly (Prompt::word_weights).
  kRepeat,     ///< They are said once more at the end.
  kResample,   ///< Nothing: the control at equal cost.
};

struct KeywordGuidanceOptions {
  KeywordWay way = KeywordWay::kEmphasise;
  weighting::KeywordOptions keywords{.strength = 0.5};
  bool same_start = false;  ///< The second sample starts from the first one's noise.
  bool keep_better =
      true;  ///< Of both samples keep the one with fewer missed words, by the reward.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("way", self.way, "what the second prompt does about words that the first sample missed");
    visit("keywords", self.keywords, "");
    visit("same_start", self.same_start, "start the second sample from the first one's noise");
    visit("keep_better", self.keep_better, "keep the sample with fewer missed words");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

struct KeywordGuidance {
  torch::Tensor images;         ///< [B, 3, H, W] f32, what is kept
  torch::Tensor first, second;  ///< [B, 3, H, W] f32, both samples; equal where nothing was missed
  Prompts prompts;              ///< B, of the second samples
  torch::Tensor missed_before,
      missed_after;  ///< [B] f32, mean P(misaligned) of what is first, kept
};

/// Samples, judges which words are missed, and samples again with a prompt that insists on them
/// (the paper's outlook on misaligned keywords). Pictures that miss nothing are not sampled again.
/// @throws ConfigError if the reward judges no words.
KeywordGuidance keyword_guidance(Generator& generator, Reward& reward, const Prompts& prompts,
                                 const SampleOptions& sampling,
                                 const KeywordGuidanceOptions& options, const Draws& draws);

}  // namespace rahf::rl

template <>
struct rahf::EnumNames<rahf::rl::KeywordWay> {
  using Way = rahf::rl::KeywordWay;
  static constexpr std::array<std::pair<Way, std::string_view>, 3> value = {
      {{Way::kEmphasise, "emphasise"}, {Way::kRepeat, "repeat"}, {Way::kResample, "resample"}}};
};
