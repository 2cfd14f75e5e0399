#include "rahf/core/text/tokenizer.h"

#include <nlohmann/json.hpp>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/text/clip_tokenizer.h"
#include "rahf/core/text/sentencepiece_tokenizer.h"
#include "rahf/core/text/word_tokenizer.h"

namespace rahf::text {

namespace {

/// Rows of the embedding as the folder's config.json says, or 0 if it does not.
std::int64_t configured_vocab_size(const std::filesystem::path& config) {
  if (!std::filesystem::exists(config)) return 0;
  const auto json = nlohmann::json::parse(io::read_file(config), nullptr, false);
  if (json.is_discarded()) throw FileError(config.string() + ": must be JSON");
  const auto size = json.is_object() ? json.find("vocab_size") : json.end();
  return size != json.end() && size->is_number_integer() ? size->get<std::int64_t>() : 0;
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  const auto pieces = folder / SentencePieceTokenizer::kFileName;
  if (std::filesystem::exists(pieces)) {
    return std::make_unique<SentencePieceTokenizer>(io::read_file(pieces), pieces.string(),
                                                    configured_vocab_size(folder / "config.json"));
  }
  const auto words = folder / WordTokenizer::kFileName;
  if (std::filesystem::exists(words)) {
    return std::make_unique<WordTokenizer>(WordTokenizer::load(words));
  }
  if (std::filesystem::exists(folder / ClipTokenizer::kVocabularyFile) ||
      std::filesystem::exists(folder / ClipTokenizer::kWholeFile)) {
    return std::make_unique<ClipTokenizer>(ClipTokenizer::load(folder));
  }
  throw FileError(folder.string() + ": must hold " + SentencePieceTokenizer::kFileName + ", " +
                  WordTokenizer::kFileName + " or " + ClipTokenizer::kVocabularyFile);
}

}  // namespace rahf::text
