#pragma once

#include <torch/types.h>

#include <cstdint>

#include "rahf/core/generator.h"
#include "rahf/core/options.h"
#include "rahf/rl/objectives/levels.h"
#include "rahf/rl/objectives/objective.h"

namespace rahf::rl {

/// What holds a model near the one that training found: pictures that it made by itself, on which
/// its own loss goes on (ReFL's pre-training loss, whose data users of a finished model seldom
/// have), or its predictions are kept.
struct ReferencePoolOptions {
  double loss_weight = 0;
  double anchor_weight = 0;
  std::int64_t pictures = 64;
  std::int64_t batch_size = 8;
  LevelOptions levels;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("loss_weight", self.loss_weight,
          "of the model's own training loss on pictures of the reference; >= 0");
    visit("anchor_weight", self.anchor_weight,
          "of the mean square between its predictions and the reference's; >= 0");
    visit("pictures", self.pictures, "of the reference; > 0");
    visit("batch_size", self.batch_size, "of them per update; > 0");
    visit("levels", self.levels, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Pictures of the reference, made at first use: again the same in a resumed run, so no state.
class ReferencePool {
 public:
  ReferencePool(ReferencePoolOptions options, SampleOptions sampling)
      : options_(std::move(options)), sampling_(std::move(sampling)) {}

  bool on() const { return options_.loss_weight > 0 || options_.anchor_weight > 0; }
  /// The weighted losses on the batch of this update; with a gradient.
  Piece piece(Generator& generator, const PromptStream& prompts, const Randomness& random,
              std::int64_t update);

 private:
  ReferencePoolOptions options_;
  SampleOptions sampling_;
  torch::Tensor latents_;
  Prompts prompts_;
};

}  // namespace rahf::rl
