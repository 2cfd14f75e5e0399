#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rahf/core/io/safetensors.h"
#include "rahf/core/optimised_parameter.h"
#include "rahf/core/train/adamw.h"
#include "rahf/core/train/ema.h"
#include "rahf/core/train/loss_terms.h"
#include "rahf/core/train/schedule.h"

namespace rahf::train {

struct OptimisationOptions {
  double clip_norm = 1;                 ///< 0 clips nothing; >= 0.
  std::vector<std::string> clip_apart;  ///< First letters of names.
  double ema = 0;                       ///< 0 keeps no average; in [0, 1).
  ScheduleOptions schedule;
  AdamW::Options adamw;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("clip_norm", self.clip_norm,
          "largest joint norm of the gradients; 0 clips nothing; >= 0");
    visit("clip_apart", self.clip_apart,
          "parameters whose names begin so are clipped to clip_norm on their own, a group for each "
          "beginning; separated by commas");
    visit("ema", self.ema,
          "decay of the weights' moving average, which is kept; 0 is none; [0, 1)");
    visit("schedule", self.schedule, "");
    visit("adamw", self.adamw, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// From gradients to weights: accumulation, clipping, AdamW by the fused kernels, learning rate
/// over steps, moving average, and a guard against what is not finite.
///
///     optimisation.backward(loss_share(terms, counts));  // as often as there are micro-batches
///     optimisation.step(loss_values(all_terms));
///
/// Works on CPU and GPU tensors, f32 or bf16; nothing waits for a GPU but check_finite(). Not
/// thread-safe, but for gradients().
class Optimisation {
 public:
  /// @param parameters  names must differ
  /// @param steps       how many there will be: the length of the schedule; > 0
  Optimisation(std::vector<OptimisedParameter> parameters, OptimisationOptions options,
               std::int64_t steps);

  // --- Gradients ------------------------------------------------------------------------------

  /// The gradient of `loss` for every parameter, zeros for one that it does not depend on. Changes
  /// nothing here: may run on several threads at once, for graphs that share only the parameters.
  std::vector<torch::Tensor> gradients(const torch::Tensor& loss) const;
  /// Adds gradients to those of the coming step. In which order they come decides the rounding.
  void accumulate(std::vector<torch::Tensor> gradients);
  /// accumulate(gradients(loss)).
  void backward(const torch::Tensor& loss) { accumulate(gradients(loss)); }
  /// Forgets the gradients of the coming step.
  void discard() { gradients_.clear(); }

  // --- Steps ----------------------------------------------------------------------------------

  /// Clips, steps and forgets the gradients. On the CPU a gradient norm or value that is not finite
  /// stops it before anything changes. On a GPU, where telling so would mean waiting, such a step
  /// changes no weight or moment, and the next check_finite() reports it.
  /// @param values  of this update, for the guard
  /// @return        "gradient_norm", and "gradient_norm/BEGINNING" for each group of clip_apart
  /// @throws NonFiniteError naming what is not finite.
  NamedValues step(const NamedValues& values = {});
  /// @throws NonFiniteError if a step since the last call was left out.
  void check_finite();

  std::int64_t steps() const { return steps_; }  ///< Made so far.
  double learning_rate() const;                  ///< Of the coming step.

  // --- Weights --------------------------------------------------------------------------------

  const std::vector<OptimisedParameter>& parameters() const { return adamw_.parameters(); }
  /// Exchanges the weights and their moving average; without one it does nothing.
  void swap_average();

  /// Weights, moments, step counts, moving averages: "value/NAME", "exp_avg/NAME",
  /// "exp_avg_sq/NAME", "step/NAME", "ema/NAME", "steps".
  io::TensorMap state() const;
  /// @throws CheckpointError if a tensor is missing or of another shape.
  void load_state(const io::TensorMap& state);

 private:
  NamedValues clip();
  void require_finite(const torch::Tensor& bad, const NamedValues& norms,
                      const NamedValues& values) const;

  OptimisationOptions options_;
  std::int64_t total_steps_;
  AdamW adamw_;
  std::optional<Ema> ema_;
  std::vector<std::vector<std::size_t>> clip_groups_;  ///< Those of clip_apart, then the rest.
  std::vector<torch::Tensor> gradients_;
  torch::Tensor left_out_;  ///< [] i64, steps since check_finite(); undefined before the first.
  std::int64_t steps_ = 0;
};

/// Exchanges weights and average while it lives: for evaluating and saving.
class Averaged {
 public:
  explicit Averaged(Optimisation& optimisation) : optimisation_(optimisation) {
    optimisation_.swap_average();
  }
  Averaged(const Averaged&) = delete;
  Averaged& operator=(const Averaged&) = delete;
  ~Averaged() { optimisation_.swap_average(); }

 private:
  Optimisation& optimisation_;
};

}  // namespace rahf::train
