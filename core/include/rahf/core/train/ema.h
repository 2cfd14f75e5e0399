#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace rahf::train {

/// An exponential moving average of parameters: average = decay average + (1 - decay) value.
class Ema {
 public:
  /// Starts at the parameters' present values.
  Ema(std::vector<torch::Tensor> parameters, double decay);

  /// @param updates  number of updates before this one; early on the decay is at most
  ///                 (1 + updates) / (10 + updates), so that the start is soon forgotten
  void update(std::int64_t updates);
  const std::vector<torch::Tensor>& averages() const { return averages_; }
  /// Exchanges averages and parameters; twice is nothing.
  void swap();

 private:
  std::vector<torch::Tensor> parameters_, averages_;
  double decay_;
};

}  // namespace rahf::train
