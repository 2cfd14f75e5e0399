#pragma once

#include <cstdint>

#include "rahf/core/prompt.h"
#include "rahf/core/random.h"

namespace rahf::rl {

/// Prompts in an endless random order: all of them once, in another order, then again. What it
/// gives depends on the number asked for alone, so a resumed run goes on without a saved state.
/// Safe to use from several threads.
class PromptStream {
 public:
  /// @throws ConfigError if there are none, or one has no text.
  PromptStream(Prompts prompts, const Randomness& random);

  /// Prompts number first to first + count - 1 of the stream.
  Prompts take(std::int64_t first, std::int64_t count) const;
  const Prompts& all() const { return prompts_; }

 private:
  Prompts prompts_;
  Randomness random_;
};

}  // namespace rahf::rl
