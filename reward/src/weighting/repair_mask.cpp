#include "rahf/reward/weighting/repair_mask.h"

#include <ATen/core/grad_mode.h>
#include <torch/nn/functional.h>

#include <string>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::weighting {

void RepairMaskOptions::validate() const {
  const auto check = [](const char* name, double value, bool ok, const char* range) {
    if (ok) return;
    throw ConfigError(std::string("RepairMaskOptions.") + name + " = " + option_text::write(value) +
                      ", must be " + range);
  };
  check("threshold", threshold, threshold > 0 && threshold <= 1, "in (0, 1]");
  check("dilation", static_cast<double>(dilation), dilation >= 0, ">= 0");
  check("least", static_cast<double>(least), least >= 1, ">= 1");
}

torch::Tensor repair_mask(const torch::Tensor& heat, const RepairMaskOptions& options) {
  options.validate();
  Shapes("repair_mask").check("heat", heat, {"B", "H", "W"});
  const torch::NoGradGuard no_grad;
  const auto marked = heat >= options.threshold;
  const auto enough = (marked.sum({1, 2}) >= options.least).view({-1, 1, 1});
  const auto side = 2 * options.dilation + 1;
  const auto grown = torch::max_pool2d((marked & enough).to(torch::kFloat).unsqueeze(1),
                                       {side, side}, {1, 1}, {options.dilation, options.dilation});
  return grown.squeeze(1) > 0;
}

}  // namespace rahf::weighting
