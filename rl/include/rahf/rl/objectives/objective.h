#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rahf/core/generator.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/random.h"
#include "rahf/rl/loop/prompt_stream.h"
#include "rahf/rl/loop/scorer.h"

namespace rahf::rl {

/// What an objective works with. All of it outlives the objective.
struct Stage {
  Generator& generator;
  const Scorer& scorer;
  const PromptStream& prompts;
  Randomness random;
};

/// Numbers to be logged, by name: scalars, each the mean over what it was measured on.
using Measures = std::vector<std::pair<std::string, torch::Tensor>>;

/// Part of an update: the gradients of its parts add up to that of the update.
struct Piece {
  torch::Tensor loss;  ///< [] f32, its share of the update's loss
  Measures measures;   ///< Detached.
};

/// How pictures and their rewards become updates: one finetuning algorithm.
///
/// A run is a row of rounds. begin_round() makes and judges pictures, then follow the round's
/// updates, each a sum of pieces; then comes end_round(). A run is saved between rounds, so that
/// only what lasts longer than a round is state.
///
/// What is drawn depends on the stage's randomness and the numbers of round, update and piece
/// alone. Not thread-safe.
class Objective {
 public:
  explicit Objective(Stage stage) : stage_(std::move(stage)) {}
  virtual ~Objective() = default;

  /// Updates that a round has unless there is nothing, or too little, to learn from.
  virtual std::int64_t updates_per_round() const = 0;
  /// @return numbers about the round: rewards, spread within groups
  virtual Measures begin_round(std::int64_t round) = 0;
  /// Of the round that was begun; 0 if there is nothing to learn from.
  virtual std::int64_t updates() const = 0;
  virtual std::int64_t pieces(std::int64_t update) const = 0;
  virtual Piece piece(std::int64_t update, std::int64_t piece) = 0;
  virtual void end_round(std::int64_t /*round*/) {}

  /// Pictures of the last round, [N, 3, H, W]; undefined if it had none.
  virtual torch::Tensor pictures() const { return {}; }
  /// Pictures made to learn from, by this object.
  std::int64_t pictures_made() const { return pictures_made_; }

  virtual io::TensorMap state() const { return {}; }
  /// @throws CheckpointError if something is missing.
  virtual void load_state(const io::TensorMap& /*state*/) {}

 protected:
  Generator& generator() { return stage_.generator; }
  const Stage& stage() const { return stage_; }
  void count_pictures(const torch::Tensor& images) { pictures_made_ += images.size(0); }

 private:
  Stage stage_;
  std::int64_t pictures_made_ = 0;
};

/// The parts of `tensors` whose name begins with `prefix`, without it.
io::TensorMap with_prefix(const io::TensorMap& tensors, const std::string& prefix);

/// Mean of each reward term, and mean and spread of their sum: "reward/NAME", "reward/total",
/// "reward/std".
Measures reward_measures(const Scored& scored, const ScoringOptions& options);

/// 0 to count - 1 in an order of its own per purpose and step: [count] i64.
torch::Tensor shuffled(std::int64_t count, const Randomness& random, std::string_view purpose,
                       std::int64_t step);

/// What is given per step [B, T, h, w], at each picture's own steps [B, S]: [B, S, h, w].
torch::Tensor at_steps(const torch::Tensor& per_step, const torch::Tensor& steps);

/// Where part `part` of `parts` begins among `count` things that are split evenly.
inline std::int64_t part_begin(std::int64_t part, std::int64_t parts, std::int64_t count) {
  return part * count / parts;
}

}  // namespace rahf::rl
