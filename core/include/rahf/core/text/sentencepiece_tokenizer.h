#pragma once

#include <memory>
#include <string>

#include "rahf/core/text/tokenizer.h"

namespace rahf::text {

/// SentencePiece (Kudo and Richardson 2018, arXiv 1808.06226) as T5 uses it: ids of the pieces,
/// then 100 sentinels, `<extra_id_0>` last, that are recognised in text. The text between
/// sentinels is tokenised on its own.
class SentencePieceTokenizer final : public Tokenizer {
 public:
  static constexpr const char* kFileName = "spiece.model";
  static constexpr std::int64_t kSentinels = 100;

  /// @param model       content of a spiece.model
  /// @param where       its name, for the error's text
  /// @param vocab_size  rows of the model's embedding; 0 rounds pieces and sentinels up to a
  ///                    multiple of 128, as the published T5 models do
  /// @throws FileError if the content is broken, or has not T5's pieces `<pad>` and `</s>`.
  /// @throws ConfigError if vocab_size is less than pieces and sentinels.
  SentencePieceTokenizer(std::string model, const std::string& where, std::int64_t vocab_size = 0);
  ~SentencePieceTokenizer() override;

  std::vector<std::int64_t> encode(std::string_view text) const override;
  /// Sentinels are written as in text; ids above them have no text.
  std::string decode(const std::vector<std::int64_t>& ids) const override;
  std::int64_t vocab_size() const override { return vocab_size_; }
  std::int64_t pad_id() const override { return pad_; }
  std::int64_t eos_id() const override { return eos_; }
  void save(const std::filesystem::path& folder) const override;

 private:
  struct Processor;
  std::string model_;
  std::unique_ptr<Processor> processor_;
  std::int64_t pieces_ = 0, vocab_size_ = 0, pad_ = 0, eos_ = 0;
};

}  // namespace rahf::text
