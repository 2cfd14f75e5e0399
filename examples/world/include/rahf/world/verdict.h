#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "rahf/core/prompt.h"
#include "rahf/reward/metrics/bootstrap.h"
#include "rahf/world/inspector.h"

namespace rahf::world {

/// What the inspector says of a picture for a prompt, in figures.
struct Verdict {
  double plausibility = 0;  ///< In [0, 1].
  double alignment = 0;     ///< In [0, 1]; 0 for a prompt that is no caption of the grammar.
  double aesthetics = 0;    ///< In [0, 1], of the objects seen; 0 if there are none.
  bool all_right = false;   ///< No word of the prompt is misaligned.
  /// Well-formed and as asked for: plausibility and alignment above .9.
  bool good() const { return plausibility > 0.9 && alignment > 0.9; }
};

Verdict verdict(const Inspection& seen);

/// Inspects pictures, one per OpenMP thread at a time.
/// @param images  [B, 3, H, W] f32 RGB in [0, 1]
/// @throws ShapeError unless there are as many prompts as pictures.
std::vector<Verdict> inspect_all(const Inspector& inspector, const torch::Tensor& images,
                                 const Prompts& prompts);

/// Means over pictures, in [0, 1], with 95 % intervals by bootstrap over prompts: pictures for one
/// prompt are drawn together.
struct VerdictMeans {
  std::int64_t pictures = 0;
  std::int64_t prompts = 0;
  reward::Estimate plausibility, alignment, aesthetics;
  reward::Estimate all_right;  ///< Share of pictures.
  reward::Estimate good;       ///< Share of pictures.

  /// Its figures with their names, in order.
  std::vector<std::pair<std::string, reward::Estimate>> figures() const;
};

/// @param verdicts  one per prompt
VerdictMeans means(const std::vector<Verdict>& verdicts, const Prompts& prompts,
                   const reward::BootstrapOptions& options = {});

/// Means of after - before, pair by pair: picture i of both was made for prompt i, and best from
/// the same noise.
VerdictMeans gains(const std::vector<Verdict>& before, const std::vector<Verdict>& after,
                   const Prompts& prompts, const reward::BootstrapOptions& options = {});

}  // namespace rahf::world
