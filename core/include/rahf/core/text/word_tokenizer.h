#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/text/tokenizer.h"

namespace rahf::text {

/// One token per word between white space. The suffix of a misaligned word is a token of its own:
/// `circle_0` is `circle`, `_0`. Ids: 0 `<pad>`, 1 `</s>`, 2 `<unk>` (any other word), then the
/// words in the order given.
class WordTokenizer final : public Tokenizer {
 public:
  static constexpr std::int64_t kPad = 0, kEos = 1, kUnknown = 2;
  static constexpr std::string_view kSuffix = "_0";
  static constexpr const char* kFileName = "vocabulary.txt";

  /// @param words  distinct, without white space; kSuffix among them if it is to be written
  /// @throws ConfigError naming the word that is not so.
  explicit WordTokenizer(const std::vector<std::string>& words);
  /// Reads what save() writes: one token a line, in the order of ids.
  /// @throws FileError naming file and line.
  static WordTokenizer load(const std::filesystem::path& file);

  std::vector<std::int64_t> encode(std::string_view text) const override;
  std::string decode(const std::vector<std::int64_t>& ids) const override;
  std::int64_t vocab_size() const override { return std::ssize(tokens_); }
  std::int64_t pad_id() const override { return kPad; }
  std::int64_t eos_id() const override { return kEos; }
  void save(const std::filesystem::path& folder) const override;

 private:
  std::int64_t id(std::string_view token) const;

  std::vector<std::string> tokens_;
  std::map<std::string, std::int64_t, std::less<>> ids_;
};

}  // namespace rahf::text
