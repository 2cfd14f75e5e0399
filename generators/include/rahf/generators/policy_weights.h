#pragma once

#include <torch/types.h>

#include <functional>
#include <utility>
#include <vector>

#include "rahf/core/generator.h"

namespace rahf::generators {

/// The weights that the policies of a generator answer with: copies of the trainable parameters as
/// training found them (kReference), and slowly following ones (kOld).
///
///     const auto scope = weights.use(policy);  // parameters hold that policy's values
///     const torch::NoGradGuard no_grad;        // unless policy is kTrained
///
/// The values are exchanged without touching version counters: graphs that were recorded before
/// remain valid. Not thread-safe.
class PolicyWeights {
 public:
  /// Puts the trained values back when it ends.
  class Scope {
   public:
    explicit Scope(std::function<void()> restore) : restore_(std::move(restore)) {}
    Scope(Scope&& other) noexcept : restore_(std::exchange(other.restore_, nullptr)) {}
    Scope& operator=(Scope&&) = delete;
    ~Scope() {
      if (restore_) restore_();
    }

   private:
    std::function<void()> restore_;
  };

  /// Copies the present values as the reference.
  explicit PolicyWeights(std::vector<OptimisedParameter> trainable);

  /// Scopes of other policies than kTrained must not overlap.
  Scope use(Policy policy);
  /// old = decay * old + (1 - decay) * trained; before the first call old is the reference.
  /// @param decay  in [0, 1]
  void update_old(double decay);

 private:
  std::vector<OptimisedParameter> trainable_;
  std::vector<torch::Tensor> reference_, old_;
};

}  // namespace rahf::generators
