#include "rahf/core/text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <charconv>
#include <string_view>
#include <utility>

#include "charsmap.h"
#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"

namespace rahf::text {

struct SentencePieceTokenizer::Processor : sentencepiece::SentencePieceProcessor {};

namespace {

constexpr std::string_view kSentinelStart = "<extra_id_";

/// k of the text `<extra_id_k>` at the start of `text` and its length, or a length of 0.
std::pair<std::int64_t, std::size_t> sentinel_at(std::string_view text) {
  if (!text.starts_with(kSentinelStart)) return {0, 0};
  const auto* digits = text.data() + kSentinelStart.size();
  const auto* end = text.data() + text.size();
  std::int64_t k = 0;
  const auto [stop, error] = std::from_chars(digits, end, k);
  const bool canonical = error == std::errc() && (*digits != '0' || stop == digits + 1);
  if (!canonical || stop == end || *stop != '>') return {0, 0};
  if (k < 0 || k >= SentencePieceTokenizer::kSentinels) return {0, 0};
  return {k, static_cast<std::size_t>(stop + 1 - text.data())};
}

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(std::string model, const std::string& where,
                                               std::int64_t vocab_size)
    : model_(std::move(model)), processor_(std::make_unique<Processor>()) {
  check_charsmaps(model_, where);
  const auto status = processor_->LoadFromSerializedProto(model_);
  if (!status.ok())
    throw FileError(where + ": not a SentencePiece model (" + status.ToString() + ")");
  pieces_ = processor_->GetPieceSize();
  pad_ = processor_->pad_id();
  eos_ = processor_->eos_id();
  if (pad_ < 0 || eos_ < 0) {
    throw FileError(where + ": the pieces must include <pad> and </s>, as T5's do");
  }
  const auto least = pieces_ + kSentinels;
  vocab_size_ = vocab_size > 0 ? vocab_size : (least + 127) / 128 * 128;
  if (vocab_size_ < least) {
    throw ConfigError(where + ": vocab_size must be >= " + std::to_string(least) +
                      ", its pieces and sentinels, got " + std::to_string(vocab_size));
  }
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::vector<std::int64_t> SentencePieceTokenizer::encode(std::string_view text) const {
  std::vector<std::int64_t> ids;
  const auto flush = [&](std::string_view part) {
    const auto pieces = processor_->EncodeAsIds({part.data(), part.size()});
    ids.insert(ids.end(), pieces.begin(), pieces.end());
  };
  for (std::size_t at = 0; (at = text.find(kSentinelStart, at)) != text.npos;) {
    const auto [k, length] = sentinel_at(text.substr(at));
    if (length == 0) {
      ++at;
      continue;
    }
    flush(text.substr(0, at));
    ids.push_back(pieces_ + kSentinels - 1 - k);
    text.remove_prefix(at + length);
    at = 0;
  }
  flush(text);
  return ids;
}

std::string SentencePieceTokenizer::decode(const std::vector<std::int64_t>& ids) const {
  std::string text;
  std::vector<int> pieces;
  const auto flush = [&] {
    text += processor_->DecodeIds(pieces);
    pieces.clear();
  };
  for (const auto id : ids) {
    if (id < 0 || id == pad_ || id == eos_ || id >= pieces_ + kSentinels) continue;
    if (id < pieces_) {
      pieces.push_back(static_cast<int>(id));
      continue;
    }
    flush();
    text += std::string(kSentinelStart) + std::to_string(pieces_ + kSentinels - 1 - id) + '>';
  }
  flush();
  return text;
}

void SentencePieceTokenizer::save(const std::filesystem::path& folder) const {
  io::write_atomically(folder / kFileName, model_);
}

}  // namespace rahf::text
