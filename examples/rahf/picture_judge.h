#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "rahf/core/prompt.h"

namespace rahf::program {

/// Whoever scores pictures for a verb: a reward, or the closed world's inspector.
class PictureJudge {
 public:
  virtual ~PictureJudge() = default;
  virtual std::vector<std::string> score_names() const = 0;
  /// @param images  [B, 3, H, W] f32 RGB in [0, 1]
  /// @return        [B, K] f64 in [0, 1], on the CPU; higher is better
  virtual torch::Tensor scores(const torch::Tensor& images, const Prompts& prompts) const = 0;
};

/// @param name  "inspector", or a reward's model folder
std::unique_ptr<PictureJudge> load_judge(const std::string& name, torch::Device device);

}  // namespace rahf::program
