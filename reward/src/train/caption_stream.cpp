#include "rahf/reward/train/caption_stream.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "rahf/core/options.h"
#include "rahf/core/random.h"
#include "rahf/core/words.h"

namespace rahf::reward {
namespace {

/// "left of" can stand where "above" does.
constexpr std::size_t kLongestSpan = 2;

const std::string kEnd;  // Stands beside the first and the last word.

/// Cuts the words into single ones and, at about `share` of the places, into chosen spans of one
/// to kLongestSpan words; visit(span, where it ends, whether it is chosen).
template <class Visit>
void for_spans(const std::vector<std::string>& words, double share, std::mt19937_64& engine,
               Visit&& visit) {
  for (std::size_t begin = 0; begin < words.size();) {
    const bool chosen = uniform(engine) < share;
    const auto longest = static_cast<std::int64_t>(std::min(kLongestSpan, words.size() - begin));
    const auto end = begin + (chosen ? 1 + uniform_int(engine, longest) : 1);
    visit(std::vector<std::string>(words.begin() + begin, words.begin() + end), end, chosen);
    begin = end;
  }
}

}  // namespace

void CaptionOptions::validate() const {
  for (const auto& [name, value] : {std::pair{"weight", weight}, {"word_weight", word_weight}}) {
    if (value >= 0) continue;
    throw ConfigError(std::string("CaptionOptions.") + name + " = " + option_text::write(value) +
                      ", must be >= 0");
  }
  for (const auto& [name, share] : {std::pair{"corrupt_share", corrupt_share},
                                    {"corrupt_words", corrupt_words},
                                    {"mask_words", mask_words},
                                    {"mask_all", mask_all},
                                    {"phrase_share", phrase_share}}) {
    if (share >= 0 && share <= 1) continue;
    throw ConfigError(std::string("CaptionOptions.") + name + " = " + option_text::write(share) +
                      ", must be in [0, 1]");
  }
  const std::set<std::string> different(phrases.begin(), phrases.end());
  if (different.size() != phrases.size() || different.contains("")) {
    throw ConfigError("CaptionOptions.phrases must differ and hold a word, got " +
                      option_text::write(phrases));
  }
  if (phrase_share > 0 && phrases.size() < 2) {
    throw ConfigError("CaptionOptions.phrases must be two or more with phrase_share, got " +
                      std::to_string(phrases.size()));
  }
}

CaptionStream::CaptionStream(const std::vector<std::string>& prompts, CaptionOptions options)
    : options_(std::move(options)) {
  options_.validate();
  for (const auto& phrase : options_.phrases) phrases_.push_back(split_words(phrase));
  std::map<Context, std::set<Words>> seen;
  for (const auto& prompt : prompts) {
    const auto words = split_words(prompt);
    for (std::size_t i = 0; i < words.size(); ++i) {
      const auto& before = i > 0 ? words[i - 1] : kEnd;
      for (auto end = i + 1; end <= std::min(i + kLongestSpan, words.size()); ++end) {
        const auto& after = end < words.size() ? words[end] : kEnd;
        seen[{before, after}].emplace(words.begin() + i, words.begin() + end);
      }
    }
  }
  for (const auto& [context, spans] : seen) seen_[context] = {spans.begin(), spans.end()};
}

CaptionTask CaptionStream::draw(const std::vector<std::string>& caption,
                                std::mt19937_64& engine) const {
  if (options_.phrase_share > 0) {
    const auto span = find_phrase(caption);
    if (span.length > 0 && uniform(engine) < options_.phrase_share) {
      return on_phrase(caption, span, engine);
    }
  }
  return uniform(engine) < options_.corrupt_share ? corrupt(caption, engine)
                                                  : hide(caption, engine);
}

CaptionStream::Span CaptionStream::find_phrase(const Words& caption) const {
  for (std::size_t begin = 0; begin < caption.size(); ++begin) {
    for (const auto& phrase : phrases_) {
      if (begin + phrase.size() <= caption.size() &&
          std::equal(phrase.begin(), phrase.end(), caption.begin() + begin)) {
        return {begin, phrase.size()};
      }
    }
  }
  return {};
}

const CaptionStream::Words& CaptionStream::opposite(const Words& phrase) const {
  const auto at = static_cast<std::size_t>(std::find(phrases_.begin(), phrases_.end(), phrase) -
                                           phrases_.begin());
  return phrases_[std::min(at ^ 1, phrases_.size() - 1)];
}

CaptionTask CaptionStream::on_phrase(const Words& caption, Span span,
                                     std::mt19937_64& engine) const {
  const auto begin = caption.begin() + static_cast<std::ptrdiff_t>(span.begin);
  const auto end = begin + static_cast<std::ptrdiff_t>(span.length);
  const bool hidden = uniform(engine) < 0.5;
  const bool wrong = !hidden && uniform(engine) < 0.5;
  const Words right(begin, end);
  auto written = right;
  if (wrong && uniform(engine) < 0.5) written = opposite(right);
  while (wrong && written == right) {
    written = phrases_[uniform_int(engine, std::ssize(phrases_))];
  }
  CaptionTask task{.shown = {}, .target = {}, .misaligned = {}, .asked = {}, .hidden = hidden};
  const auto add = [&](const Words& words, bool is_phrase) {
    task.target.insert(task.target.end(), words.begin(), words.end());
    task.misaligned.insert(task.misaligned.end(), words.size(), is_phrase && wrong ? 1 : 0);
    task.asked.insert(task.asked.end(), words.size(), is_phrase || !hidden ? 1 : 0);
    if (is_phrase && hidden) {
      task.shown.push_back(kHidden);
    } else {
      task.shown.insert(task.shown.end(), words.begin(), words.end());
    }
  };
  add({caption.begin(), begin}, false);
  add(written, true);
  add({end, caption.end()}, false);
  return task;
}

CaptionTask CaptionStream::hide(const Words& caption, std::mt19937_64& engine) const {
  CaptionTask task{{}, caption, std::vector<std::uint8_t>(caption.size(), 0), {}, true};
  const double share = uniform(engine) < options_.mask_all ? 1 : options_.mask_words;
  for_spans(caption, share, engine, [&](const Words& span, std::size_t, bool chosen) {
    task.asked.insert(task.asked.end(), span.size(), chosen ? 1 : 0);
    if (chosen) {
      task.shown.push_back(kHidden);
    } else {
      task.shown.insert(task.shown.end(), span.begin(), span.end());
    }
  });
  return task;
}

CaptionTask CaptionStream::corrupt(const Words& caption, std::mt19937_64& engine) const {
  CaptionTask task;
  for_spans(caption, options_.corrupt_words, engine,
            [&](const Words& span, std::size_t end, bool chosen) {
              const auto& before = task.target.empty() ? kEnd : task.target.back();
              const auto& after = end < caption.size() ? caption[end] : kEnd;
              const auto& shown = chosen ? another(before, span, after, engine) : span;
              for (std::size_t j = 0; j < shown.size(); ++j) {
                const bool same = shown.size() == span.size() && shown[j] == span[j];
                task.target.push_back(shown[j]);
                task.misaligned.push_back(same ? 0 : 1);
              }
            });
  task.shown = task.target;
  task.asked.assign(task.target.size(), 1);
  return task;
}

const CaptionStream::Words& CaptionStream::another(const std::string& before, const Words& span,
                                                   const std::string& after,
                                                   std::mt19937_64& engine) const {
  const auto found = seen_.find({before, after});
  if (found == seen_.end()) return span;
  const auto& spans = found->second;
  return spans[uniform_int(engine, static_cast<std::int64_t>(spans.size()))];
}

}  // namespace rahf::reward
