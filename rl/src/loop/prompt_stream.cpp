#include "rahf/rl/loop/prompt_stream.h"

#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "rahf/core/error.h"

namespace rahf::rl {

PromptStream::PromptStream(Prompts prompts, const Randomness& random)
    : prompts_(std::move(prompts)), random_(random) {
  if (prompts_.empty()) throw ConfigError("PromptStream: at least one prompt is needed, got none");
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    if (prompts_[i].text.find_first_not_of(" \t") != std::string::npos) continue;
    throw ConfigError("PromptStream: every prompt must have text, number " + std::to_string(i + 1) +
                      " has none");
  }
}

Prompts PromptStream::take(std::int64_t first, std::int64_t count) const {
  const auto size = static_cast<std::int64_t>(prompts_.size());
  std::vector<std::size_t> order(prompts_.size());
  std::int64_t epoch = -1;
  Prompts taken;
  for (std::int64_t i = first; i < first + count; ++i) {
    if (i / size != epoch) {
      epoch = i / size;
      std::iota(order.begin(), order.end(), 0U);
      auto engine = random_.engine("prompts", epoch);
      for (std::size_t k = order.size(); k > 1; --k) {
        std::swap(
            order[k - 1],
            order[static_cast<std::size_t>(uniform_int(engine, static_cast<std::int64_t>(k)))]);
      }
    }
    taken.push_back(prompts_[order[static_cast<std::size_t>(i % size)]]);
  }
  return taken;
}

}  // namespace rahf::rl
