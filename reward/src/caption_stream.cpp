#include "rahf/reward/caption_stream.h"

#include <algorithm>
#include <set>

#include "rahf/core/options.h"
#include "rahf/core/random.h"
#include "rahf/core/text/words.h"

namespace rahf::reward {
namespace {

std::pair<std::string, std::string> neighbours(const std::vector<std::string>& words,
                                               std::size_t i) {
  return {i > 0 ? words[i - 1] : std::string(),
          i + 1 < words.size() ? words[i + 1] : std::string()};
}

}  // namespace

void CaptionOptions::validate() const {
  if (!(weight >= 0)) {
    throw ConfigError("CaptionOptions.weight = " + option_text::write(weight) + ", must be >= 0");
  }
  for (const auto& [name, share] : {std::pair{"corrupt_share", corrupt_share},
                                    {"corrupt_words", corrupt_words},
                                    {"mask_words", mask_words},
                                    {"mask_all", mask_all}}) {
    if (share >= 0 && share <= 1) continue;
    throw ConfigError(std::string("CaptionOptions.") + name + " = " + option_text::write(share) +
                      ", must be in [0, 1]");
  }
}

CaptionStream::CaptionStream(const std::vector<std::string>& prompts, CaptionOptions options)
    : options_(options) {
  options_.validate();
  std::map<Context, std::set<std::string>> seen;
  for (const auto& prompt : prompts) {
    const auto words = text::split_words(prompt);
    for (std::size_t i = 0; i < words.size(); ++i) seen[neighbours(words, i)].insert(words[i]);
  }
  for (const auto& [context, words] : seen) seen_[context] = {words.begin(), words.end()};
}

CaptionTask CaptionStream::draw(const std::vector<std::string>& caption,
                                std::mt19937_64& engine) const {
  CaptionTask task{caption, caption, std::vector<std::uint8_t>(caption.size(), 0)};
  if (uniform(engine) >= options_.corrupt_share) {
    const bool all = uniform(engine) < options_.mask_all;
    for (auto& word : task.shown) {
      if (all || uniform(engine) < options_.mask_words) word = kHidden;
    }
    return task;
  }
  for (std::size_t i = 0; i < caption.size(); ++i) {
    if (uniform(engine) >= options_.corrupt_words) continue;
    const auto found = seen_.find(neighbours(caption, i));
    if (found == seen_.end() || found->second.size() < 2) continue;
    const auto& words = found->second;
    auto pick = words[uniform_int(engine, static_cast<std::int64_t>(words.size()))];
    if (pick == caption[i]) continue;
    task.shown[i] = task.target[i] = pick;
    task.misaligned[i] = 1;
  }
  return task;
}

}  // namespace rahf::reward
