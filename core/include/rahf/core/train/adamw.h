#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rahf/core/io/safetensors.h"
#include "rahf/core/optimised_parameter.h"

namespace rahf::train {

/// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) by LibTorch's fused kernels, with gradients
/// handed over explicitly.
///
///     m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2
///     w = w - lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon) + weight_decay w)
class AdamW {
 public:
  struct Options {
    double beta1 = 0.9;          ///< In [0, 1).
    double beta2 = 0.999;        ///< In [0, 1).
    double epsilon = 1e-8;       ///< > 0
    double weight_decay = 0.01;  ///< >= 0

    template <class Self, class Visit>
    static void fields(Self& self, Visit&& visit) {
      visit("beta1", self.beta1, "decay of the mean of gradients; in [0, 1)");
      visit("beta2", self.beta2, "decay of the mean of squared gradients; in [0, 1)");
      visit("epsilon", self.epsilon, "added to the root mean square; > 0");
      visit("weight_decay", self.weight_decay,
            "decay of matrices per unit of learning rate; biases and norms have none; >= 0");
    }
    /// @throws ConfigError naming the field.
    void validate() const;
  };

  AdamW(std::vector<OptimisedParameter> parameters, Options options);

  const std::vector<OptimisedParameter>& parameters() const { return parameters_; }
  /// The parameters' values, in order: what gradients are taken for.
  const std::vector<torch::Tensor>& values() const { return values_; }

  /// One step, unless `found_inf` is 1: then nothing changes.
  /// @param gradients  one per parameter, of its shape, in any memory format
  /// @param found_inf  [] f32, 0 or 1; undefined is 0
  void step(const std::vector<torch::Tensor>& gradients, double learning_rate,
            const torch::Tensor& found_inf = {});

  /// Moments and step counts under "exp_avg/NAME", "exp_avg_sq/NAME", "step/NAME".
  io::TensorMap state() const;
  /// @throws CheckpointError if a tensor is missing or of another shape.
  void load_state(const io::TensorMap& state);

 private:
  struct Group {
    double lr_scale;
    double weight_decay;
    std::vector<std::size_t> members;
  };
  std::vector<OptimisedParameter> parameters_;
  Options options_;
  std::vector<Group> groups_;
  std::vector<torch::Tensor> values_, means_, squares_, steps_;
};

}  // namespace rahf::train
