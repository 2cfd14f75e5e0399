#include "rahf/reward/model/prompt_codec.h"

#include <algorithm>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/words.h"

namespace rahf::reward {
namespace {

bool starts_with(const std::vector<std::int64_t>& ids, std::size_t at,
                 const std::vector<std::int64_t>& part) {
  return at + part.size() <= ids.size() &&
         std::equal(part.begin(), part.end(), ids.begin() + static_cast<std::ptrdiff_t>(at));
}

}  // namespace

PromptCodec::PromptCodec(std::shared_ptr<const text::Tokenizer> tokenizer)
    : tokenizer_(std::move(tokenizer)), nothing_(tokenizer_->encode("\xee\x80\x80")) {  // U+E000
  // The suffix's own pieces: those that follow the pieces of a word that bears it.
  const auto word = tokenizer_->encode("a");
  const auto marked = tokenizer_->encode("a" + std::string(kSuffix));
  if (starts_with(marked, 0, word)) suffix_.assign(marked.begin() + std::ssize(word), marked.end());
  if (suffix_.empty() || tokenizer_->decode(suffix_) != kSuffix) {
    throw FileError("PromptCodec: the tokenizer has no pieces of its own for the suffix '_0'");
  }
}

std::vector<std::int64_t> PromptCodec::pieces(const std::string& word) const {
  auto ids = tokenizer_->encode(word);
  return ids.empty() ? nothing_ : ids;
}

std::vector<std::int64_t> PromptCodec::encoder_ids(const std::vector<std::string>& words,
                                                   std::string_view task) const {
  std::string text(task);
  if (!text.empty() && !words.empty()) text += ' ';
  auto ids = tokenizer_->encode(text + join_words(words));
  ids.push_back(tokenizer_->eos_id());
  return ids;
}

std::vector<std::int64_t> PromptCodec::target_ids(
    const std::vector<std::string>& words, const std::vector<std::uint8_t>& misaligned) const {
  if (misaligned.size() != words.size()) {
    throw ShapeError("PromptCodec::target_ids: misaligned must have one flag per word (" +
                     std::to_string(words.size()) + "), got " + std::to_string(misaligned.size()));
  }
  std::vector<std::int64_t> ids;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto own = pieces(words[i]);
    ids.insert(ids.end(), own.begin(), own.end());
    if (misaligned[i] != 0) ids.insert(ids.end(), suffix_.begin(), suffix_.end());
  }
  ids.push_back(tokenizer_->eos_id());
  return ids;
}

std::vector<std::uint8_t> PromptCodec::target_mask(const std::vector<std::string>& words,
                                                   const std::vector<std::uint8_t>& misaligned,
                                                   const std::vector<std::uint8_t>& asked) const {
  std::vector<std::uint8_t> mask;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto own = pieces(words[i]).size();
    mask.insert(mask.end(), own + (misaligned[i] != 0 ? suffix_.size() : 0), asked[i]);
  }
  mask.push_back(std::all_of(asked.begin(), asked.end(), [](auto flag) { return flag != 0; }));
  return mask;
}

PlainSequence PromptCodec::plain(const std::vector<std::string>& words) const {
  PlainSequence sequence;
  for (const auto& word : words) {
    const auto own = pieces(word);
    sequence.ids.insert(sequence.ids.end(), own.begin(), own.end());
    sequence.next_word.push_back(static_cast<std::int64_t>(sequence.ids.size()));
  }
  sequence.ids.push_back(tokenizer_->eos_id());
  return sequence;
}

std::vector<std::uint8_t> PromptCodec::parse(const std::vector<std::int64_t>& ids,
                                             const std::vector<std::string>& words) const {
  std::vector<std::int64_t> written;
  for (const auto id : ids) {
    if (id == tokenizer_->eos_id()) break;
    if (id != tokenizer_->pad_id()) written.push_back(id);
  }
  std::vector<std::vector<std::int64_t>> plain, marked;
  for (const auto& word : words) {
    plain.push_back(pieces(word));
    marked.push_back(plain.back());
    marked.back().insert(marked.back().end(), suffix_.begin(), suffix_.end());
  }
  // cost(w, p): fewest missing words and surplus pieces among the words from w and pieces from p.
  const auto columns = written.size() + 1;
  std::vector<std::int32_t> costs((words.size() + 1) * columns);
  const auto cost = [&](std::size_t w, std::size_t p) -> std::int32_t& {
    return costs[w * columns + p];
  };
  for (std::size_t p = 0; p < columns; ++p) {
    cost(words.size(), p) = static_cast<std::int32_t>(written.size() - p);
  }
  for (auto w = words.size(); w-- > 0;) {
    for (auto p = columns; p-- > 0;) {
      auto least = cost(w + 1, p) + 1;
      if (p < written.size()) least = std::min(least, cost(w, p + 1) + 1);
      for (const auto* own : {&plain[w], &marked[w]}) {
        if (starts_with(written, p, *own)) least = std::min(least, cost(w + 1, p + own->size()));
      }
      cost(w, p) = least;
    }
  }
  std::vector<std::uint8_t> flags(words.size(), 0);
  for (std::size_t w = 0, p = 0; w < words.size();) {
    const auto here = cost(w, p);
    const auto taken = [&](const std::vector<std::int64_t>& own) {
      return starts_with(written, p, own) && cost(w + 1, p + own.size()) == here;
    };
    if (taken(marked[w])) {
      flags[w] = 1;
      p += marked[w++].size();
    } else if (taken(plain[w])) {
      p += plain[w++].size();
    } else if (cost(w + 1, p) + 1 == here) {
      ++w;
    } else {
      ++p;
    }
  }
  return flags;
}

TokenBatch PromptCodec::pad(const std::vector<std::vector<std::int64_t>>& sequences) const {
  std::size_t longest = 1;
  for (const auto& sequence : sequences) longest = std::max(longest, sequence.size());
  const auto rows = static_cast<std::int64_t>(sequences.size());
  const auto length = static_cast<std::int64_t>(longest);
  TokenBatch batch{torch::full({rows, length}, tokenizer_->pad_id(), torch::kLong),
                   torch::zeros({rows, length}, torch::kBool)};
  auto* ids = batch.ids.data_ptr<std::int64_t>();
  auto* mask = batch.mask.data_ptr<bool>();
  for (std::size_t row = 0; row < sequences.size(); ++row) {
    std::copy(sequences[row].begin(), sequences[row].end(), ids + row * longest);
    std::fill_n(mask + row * longest, sequences[row].size(), true);
  }
  return batch;
}

}  // namespace rahf::reward
