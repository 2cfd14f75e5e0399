#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rahf/core/text/tokenizer.h"
#include "rahf/core/words.h"

namespace rahf::text {

/// What byte pair encoding knows: the ids of its tokens, and which two tokens become one, the
/// earliest first. In a token every byte is one printable character, and `</w>` ends a word.
struct BpeVocabulary {
  std::unordered_map<std::string, std::int64_t> ids;
  std::vector<std::pair<std::string, std::string>> merges;
};

/// A vocabulary in which each of these words is one token, and any other text is spelt in bytes:
/// 512 bytes, then the merges that build the words, the commonest pair first, then the start and
/// the end token.
/// @throws ConfigError if a word is not one to ClipTokenizer (white space, mixed characters).
BpeVocabulary bpe_vocabulary(const std::vector<std::string>& words);

struct ClipTokenizerOptions {
  std::string pad_token = "<|endoftext|>";  ///< Stable Diffusion 2: "!".
  std::int64_t length = 77;                 ///< Ids of a padded text; > 2.
};

/// CLIP's byte pair encoding (Radford et al. 2021, arXiv 2103.00020, after Sennrich et al. 2016,
/// arXiv 1508.07909), id for id what Hugging Face's CLIPTokenizer gives.
///
/// Text is composed (Unicode NFC) and lower-cased; its pieces are runs of letters, single numbers,
/// runs of what is neither, and English contractions; white space only separates. Each piece is
/// merged on its own. The start and end token are recognised in text.
class ClipTokenizer final : public Tokenizer {
 public:
  static constexpr const char* kVocabularyFile = "vocab.json";
  static constexpr const char* kMergesFile = "merges.txt";
  static constexpr const char* kWholeFile = "tokenizer.json";
  static constexpr std::string_view kStart = "<|startoftext|>";
  static constexpr std::string_view kEnd = "<|endoftext|>";

  /// @param where  what the vocabulary was read from, for the error's text
  /// @throws FileError if an id occurs twice, or a merge or a special token is not among the ids.
  explicit ClipTokenizer(BpeVocabulary vocabulary, ClipTokenizerOptions options = {},
                         const std::string& where = "ClipTokenizer");
  /// Reads vocab.json and merges.txt, or else tokenizer.json; the pad token and the length from
  /// special_tokens_map.json and tokenizer_config.json, where they are.
  /// @throws FileError naming the file and what is wrong with it.
  static ClipTokenizer load(const std::filesystem::path& folder);

  /// @throws ConfigError if the text is not UTF-8, naming the byte.
  std::vector<std::int64_t> encode(std::string_view text) const override;
  /// Words apart by single spaces, as Hugging Face writes them; ends at the first end token.
  std::string decode(const std::vector<std::int64_t>& ids) const override;

  /// A text as the model reads it.
  struct Padded {
    std::vector<std::int64_t> ids;  ///< [length()]: start, the text's ids, end, padding.
    std::vector<WordSpan> spans;    ///< Bytes of the text behind ids[1], ids[2] ...; no padding.
    std::string cut;                ///< The end of the text that had no room; as a rule empty.
  };
  Padded padded(std::string_view text) const;

  std::int64_t vocab_size() const override { return std::ssize(tokens_); }
  std::int64_t pad_id() const override { return pad_; }
  std::int64_t eos_id() const override { return end_; }
  std::int64_t start_id() const { return start_; }
  std::int64_t length() const { return options_.length; }
  /// Files that load() and Hugging Face read.
  void save(const std::filesystem::path& folder) const override;

 private:
  struct Token {
    std::int64_t id = 0;
    WordSpan span;
  };
  struct Merge {
    std::size_t rank = 0;
    std::int64_t id = 0;
  };
  std::vector<Token> tokens(std::string_view text) const;
  void merge_piece(const std::string& bytes, const std::vector<WordSpan>& sources,
                   std::vector<Token>& tokens) const;

  BpeVocabulary vocabulary_;
  ClipTokenizerOptions options_;
  std::vector<std::string> tokens_;                    ///< By id; empty where an id is not used.
  std::unordered_map<std::uint64_t, Merge> merge_of_;  ///< By the ids of both parts.
  std::int64_t start_ = 0, end_ = 0, pad_ = 0;
};

}  // namespace rahf::text
