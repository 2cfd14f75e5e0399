#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "rahf/core/prompt.h"

namespace rahf {

/// Pictures and what each was made for.
struct CaptionedPictures {
  torch::Tensor images;  ///< [B, 3, H, W] f32 RGB in [0, 1], on the CPU
  Prompts prompts;       ///< B
};

/// An endless, numbered sequence of pictures with captions to learn from. Picture i is always the
/// same one, so that a run can resume anywhere, and encode a stretch of it once. Thread-safe.
class PictureSource {
 public:
  virtual ~PictureSource() = default;

  /// Height and width of every picture, pixels.
  virtual std::int64_t side() const = 0;
  /// Pictures `first` to `first + count` - 1. @param first  >= 0  @param count  > 0
  virtual CaptionedPictures at(std::int64_t first, std::int64_t count) const = 0;
  /// What tells this sequence from others, in one line: runs note it and refuse to resume on
  /// another.
  virtual std::string identity() const = 0;
};

}  // namespace rahf
