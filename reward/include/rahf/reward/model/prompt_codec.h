#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/text/tokenizer.h"

namespace rahf::reward {

/// What marks a misaligned word in the text that the decoder writes.
inline constexpr std::string_view kSuffix = "_0";

/// Token sequences of different lengths, padded on the right.
struct TokenBatch {
  torch::Tensor ids;   ///< [B, L] i64
  torch::Tensor mask;  ///< [B, L] bool  true where a token counts

  TokenBatch to(torch::Device device) const { return {ids.to(device), mask.to(device)}; }
};

/// A prompt as the decoder reads it in the one-pass way: its pieces, and where each word ends.
struct PlainSequence {
  std::vector<std::int64_t> ids;        ///< The words' pieces, then the end-of-sequence id.
  std::vector<std::int64_t> next_word;  ///< Per word, index into `ids` of the piece after it.
};

/// Between prompts and the token sequences that RAHF reads and writes.
///
/// The text to be written is the prompt's words joined by spaces, with `_0` appended to every
/// misaligned word ("a yellow_0 cat"): the target of the paper. The pieces of each word, and those
/// of the suffix, are the same wherever they stand, so that word ends are known exactly, whatever
/// the tokenizer makes of the word's text: unknown letters, composed ones, or nothing at all (such
/// a word gets the pieces of an unknown letter).
class PromptCodec {
 public:
  /// @throws FileError if the tokenizer has no pieces of its own that spell the suffix.
  explicit PromptCodec(std::shared_ptr<const text::Tokenizer> tokenizer);

  /// What the encoder reads: `task`, if any, then the words, then the end-of-sequence id.
  std::vector<std::int64_t> encoder_ids(const std::vector<std::string>& words,
                                        std::string_view task = {}) const;

  /// What the decoder should write. @param misaligned  one flag per word
  std::vector<std::int64_t> target_ids(const std::vector<std::string>& words,
                                       const std::vector<std::uint8_t>& misaligned) const;

  /// Which of those pieces belong to the words that are flagged in `asked`; the end-of-sequence id
  /// does if every word does.
  std::vector<std::uint8_t> target_mask(const std::vector<std::string>& words,
                                        const std::vector<std::uint8_t>& misaligned,
                                        const std::vector<std::uint8_t>& asked) const;

  /// The prompt without any mark, for one teacher-forced pass.
  PlainSequence plain(const std::vector<std::string>& words) const;

  /// First piece of the suffix: its probability against that of the next word's first piece is
  /// P(misaligned).
  std::int64_t suffix_id() const { return suffix_.front(); }

  /// The flags that a decoded sequence sets. Each word is found by its own pieces, in order, so
  /// that the fewest words are missing and the fewest pieces left over; one that was not written,
  /// or was written otherwise, counts as aligned. Costs words x pieces.
  /// @param ids  pads are passed over, and what follows an end-of-sequence id
  std::vector<std::uint8_t> parse(const std::vector<std::int64_t>& ids,
                                  const std::vector<std::string>& words) const;

  TokenBatch pad(const std::vector<std::vector<std::int64_t>>& sequences) const;

  const text::Tokenizer& tokenizer() const { return *tokenizer_; }

 private:
  std::vector<std::int64_t> pieces(const std::string& word) const;

  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::vector<std::int64_t> suffix_;
  std::vector<std::int64_t> nothing_;  // Stands for a word without pieces.
};

}  // namespace rahf::reward
