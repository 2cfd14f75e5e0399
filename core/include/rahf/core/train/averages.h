#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "rahf/core/train/loss_terms.h"
#include "rahf/core/train/run_log.h"

namespace rahf::train {

/// Means of named values between two lines of a log. Values stay on their device until take().
class Averages {
 public:
  /// Names may differ from call to call; each is averaged over the calls that had it.
  void add(const NamedValues& values);
  void add(const std::string& name, double value);

  /// The means since the last call, in the order in which the names first came.
  RunLog::Values take();

 private:
  struct Sum {
    torch::Tensor on_device;  ///< [] f32, or undefined
    double on_host = 0;
    std::int64_t count = 0;
  };
  Sum& sum(const std::string& name);

  std::map<std::string, Sum> sums_;
  std::vector<std::string> order_;
};

}  // namespace rahf::train
