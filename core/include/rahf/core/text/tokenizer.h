#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rahf::text {

/// Turns text into token ids and back, as the model that it belongs to was trained with.
/// Thread-safe once built.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// Ids of the text, without an end-of-sequence id and without padding.
  virtual std::vector<std::int64_t> encode(std::string_view text) const = 0;
  /// Text of the ids; pad and end ids are left out.
  virtual std::string decode(const std::vector<std::int64_t>& ids) const = 0;

  /// Size of the embedding table that ids index into; ids are in [0, vocab_size()).
  virtual std::int64_t vocab_size() const = 0;
  virtual std::int64_t pad_id() const = 0;
  virtual std::int64_t eos_id() const = 0;

  /// Writes the tokenizer's files into a model folder.
  virtual void save(const std::filesystem::path& folder) const = 0;
};

/// Loads the tokenizer whose files lie in a model folder: `spiece.model` (SentencePiece, as T5
/// models have it), `vocabulary.txt` (the closed world's words), or `vocab.json` or
/// `tokenizer.json` (byte pairs, as CLIP models have them).
/// @throws FileError if there is none, or the file is broken.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& folder);

}  // namespace rahf::text
