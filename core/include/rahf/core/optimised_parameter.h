#pragma once

#include <torch/types.h>

#include <string>

namespace rahf {

/// One parameter and how it is optimised.
struct OptimisedParameter {
  std::string name;
  torch::Tensor value;  ///< A leaf that requires a gradient.
  double lr_scale = 1;  ///< Its learning rate over that of the step; >= 0.
  bool weight_decay = true;
};

}  // namespace rahf
