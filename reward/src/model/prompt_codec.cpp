#include "rahf/reward/model/prompt_codec.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/words.h"

namespace rahf::reward {

PromptCodec::PromptCodec(std::shared_ptr<const text::Tokenizer> tokenizer)
    : tokenizer_(std::move(tokenizer)) {
  // The suffix's own pieces: those that follow the pieces of a word that bears it.
  const auto word = tokenizer_->encode("a");
  const auto marked = tokenizer_->encode("a" + std::string(kSuffix));
  suffix_.assign(marked.begin() + static_cast<std::ptrdiff_t>(std::min(word.size(), marked.size())),
                 marked.end());
  if (suffix_.empty()) {
    throw FileError("PromptCodec: the tokenizer has no pieces of its own for the suffix '_0'");
  }
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
    const auto pieces = tokenizer_->encode(words[i]);
    ids.insert(ids.end(), pieces.begin(), pieces.end());
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
    const auto pieces = tokenizer_->encode(words[i]).size();
    mask.insert(mask.end(), pieces + (misaligned[i] != 0 ? suffix_.size() : 0), asked[i]);
  }
  mask.push_back(std::all_of(asked.begin(), asked.end(), [](auto flag) { return flag != 0; }));
  return mask;
}

PlainSequence PromptCodec::plain(const std::vector<std::string>& words) const {
  PlainSequence sequence;
  for (const auto& word : words) {
    const auto pieces = tokenizer_->encode(word);
    sequence.ids.insert(sequence.ids.end(), pieces.begin(), pieces.end());
    sequence.next_word.push_back(static_cast<std::int64_t>(sequence.ids.size()));
  }
  sequence.ids.push_back(tokenizer_->eos_id());
  return sequence;
}

std::vector<std::uint8_t> PromptCodec::parse(const std::vector<std::int64_t>& ids,
                                             const std::vector<std::string>& words) const {
  std::istringstream written(tokenizer_->decode(ids));
  std::vector<std::uint8_t> flags(words.size(), 0);
  std::string word;
  for (std::size_t i = 0; i < words.size() && written >> word; ++i) {
    flags[i] = word == words[i] + std::string(kSuffix) ? 1 : 0;
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
