#include "rahf/core/text/clip_tokenizer.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <queue>
#include <sstream>
#include <tuple>

#include "clip_pieces.h"
#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"

namespace rahf::text {

namespace {

constexpr std::string_view kWordEnd = "</w>";

bool is_plain(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

/// The character that stands for each byte in a token: printable ones for themselves, the others,
/// in their order, as U+0100, U+0101 ...
const std::array<std::string, 256>& byte_symbols() {
  static const auto symbols = [] {
    std::array<std::string, 256> all;
    int others = 0;
    for (int byte = 0; byte < 256; ++byte) {
      const int code = is_plain(byte) ? byte : 0x100 + others++;
      if (code < 0x80) {
        all[byte] = static_cast<char>(code);
      } else {
        all[byte] = {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
      }
    }
    return all;
  }();
  return symbols;
}

std::uint64_t pair_key(std::int64_t left, std::int64_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right);
}

/// The symbols of a piece, the last one ending the word.
std::vector<std::string> symbols_of(const std::string& bytes) {
  std::vector<std::string> symbols;
  for (const char byte : bytes) symbols.push_back(byte_symbols()[static_cast<unsigned char>(byte)]);
  if (!symbols.empty()) symbols.back() += kWordEnd;
  return symbols;
}

nlohmann::json read_json(const std::filesystem::path& file) {
  auto json = nlohmann::json::parse(io::read_file(file), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw FileError(file.string() + ": must be a JSON object");
  return json;
}

void read_ids(const nlohmann::json& json, const std::string& where, BpeVocabulary& vocabulary) {
  if (!json.is_object()) throw FileError(where + ": the vocabulary must be an object of ids");
  for (const auto& [token, id] : json.items()) {
    if (!id.is_number_integer()) {
      throw FileError(where + ": the id of '" + token + "' must be a whole number, got " +
                      id.dump());
    }
    vocabulary.ids.emplace(token, id.get<std::int64_t>());
  }
}

/// "a b" -> a, b
std::pair<std::string, std::string> read_merge(const std::string& line, const std::string& where) {
  const auto space = line.find(' ');
  if (space == 0 || space == std::string::npos || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string::npos) {
    throw FileError(where + ": must be two tokens, got '" + line + "'");
  }
  return {line.substr(0, space), line.substr(space + 1)};
}

void read_merges(const std::filesystem::path& file, BpeVocabulary& vocabulary) {
  std::istringstream lines(io::read_file(file));
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    vocabulary.merges.push_back(read_merge(line, file.string() + ':' + std::to_string(number)));
  }
}

/// Vocabulary and merges as Hugging Face's newer single file holds them.
void read_whole(const std::filesystem::path& file, BpeVocabulary& vocabulary) {
  const auto json = read_json(file);
  const auto model = json.find("model");
  if (model == json.end() || !model->is_object() || model->value("type", "") != "BPE" ||
      !model->contains("vocab") || !model->contains("merges") || !model->at("merges").is_array()) {
    throw FileError(file.string() + ": must hold a BPE model with vocab and merges");
  }
  read_ids(model->at("vocab"), file.string(), vocabulary);
  for (const auto& merge : model->at("merges")) {
    if (merge.is_string()) {
      vocabulary.merges.push_back(read_merge(merge.get<std::string>(), file.string()));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      vocabulary.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else {
      throw FileError(file.string() + ": a merge must be two tokens, got " + merge.dump());
    }
  }
}

void read_pad_token(const nlohmann::json& json, std::string& pad_token) {
  const auto pad = json.find("pad_token");
  if (pad == json.end()) return;
  if (pad->is_string()) pad->get_to(pad_token);
  if (pad->is_object()) pad_token = pad->value("content", pad_token);
}

}  // namespace

BpeVocabulary bpe_vocabulary(const std::vector<std::string>& words) {
  BpeVocabulary vocabulary;
  const auto add = [&](std::string token) {
    vocabulary.ids.emplace(std::move(token), std::ssize(vocabulary.ids));
  };
  for (const bool ends : {false, true}) {
    for (const bool plain : {true, false}) {  // CLIP's own order
      for (int byte = 0; byte < 256; ++byte) {
        if (is_plain(byte) == plain) add(byte_symbols()[byte] + std::string(ends ? kWordEnd : ""));
      }
    }
  }
  std::vector<std::vector<std::string>> spelt;
  for (const auto& word : words) {
    const auto pieces = clip_pieces(word);
    if (pieces.size() != 1) {
      throw ConfigError(
          "bpe_vocabulary: a word must be letters alone, or one number, or neither, "
          "got '" +
          word + "'");
    }
    spelt.push_back(symbols_of(pieces[0].bytes));
  }
  for (;;) {
    std::map<std::pair<std::string, std::string>, int> counts;
    for (const auto& word : spelt) {
      for (std::size_t i = 1; i < word.size(); ++i) ++counts[{word[i - 1], word[i]}];
    }
    if (counts.empty()) break;
    const auto best =
        std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
          return a.second < b.second;
        })->first;
    vocabulary.merges.push_back(best);
    add(best.first + best.second);
    for (auto& word : spelt) {
      for (std::size_t i = 1; i < word.size(); ++i) {
        if (word[i - 1] != best.first || word[i] != best.second) continue;
        word[i - 1] += word[i];
        word.erase(word.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  }
  add(std::string(ClipTokenizer::kStart));
  add(std::string(ClipTokenizer::kEnd));
  return vocabulary;
}

ClipTokenizer::ClipTokenizer(BpeVocabulary vocabulary, ClipTokenizerOptions options,
                             const std::string& where)
    : vocabulary_(std::move(vocabulary)), options_(std::move(options)) {
  constexpr std::int64_t kMostIds = 1 << 24;
  if (options_.length <= 2) {
    throw ConfigError(where + ": length must be > 2, got " + std::to_string(options_.length));
  }
  for (const auto& [token, id] : vocabulary_.ids) {
    if (token.empty() || id < 0 || id >= kMostIds) {
      throw FileError(where + ": ids must be in [0, 2^24) and tokens not empty, got '" + token +
                      "' " + std::to_string(id));
    }
    if (id >= std::ssize(tokens_)) tokens_.resize(static_cast<std::size_t>(id) + 1);
    if (!tokens_[id].empty()) {
      throw FileError(where + ": ids must differ, got '" + std::min(tokens_[id], token) +
                      "' and '" + std::max(tokens_[id], token) + "' for " + std::to_string(id));
    }
    tokens_[id] = token;
  }
  const auto id_of = [&](const std::string& token) {
    const auto found = vocabulary_.ids.find(token);
    if (found == vocabulary_.ids.end()) {
      throw FileError(where + ": the vocabulary must hold '" + token + "'");
    }
    return found->second;
  };
  start_ = id_of(std::string(kStart));
  end_ = id_of(std::string(kEnd));
  pad_ = id_of(options_.pad_token);
  for (const auto& [left, right] : vocabulary_.merges) {
    merge_of_.try_emplace(pair_key(id_of(left), id_of(right)),
                          Merge{merge_of_.size(), id_of(left + right)});
  }
}

ClipTokenizer ClipTokenizer::load(const std::filesystem::path& folder) {
  BpeVocabulary vocabulary;
  auto file = folder / kVocabularyFile;
  if (std::filesystem::exists(file)) {
    read_ids(read_json(file), file.string(), vocabulary);
    read_merges(folder / kMergesFile, vocabulary);
  } else {
    file = folder / kWholeFile;
    read_whole(file, vocabulary);
  }
  ClipTokenizerOptions options;
  const auto config_file = folder / "tokenizer_config.json";
  bool complete = false;  // newer files say all; beside older ones the map has the last word
  if (std::filesystem::exists(config_file)) {
    const auto config = read_json(config_file);
    read_pad_token(config, options.pad_token);
    complete = config.contains("added_tokens_decoder");
    const auto length = config.find("model_max_length");  // 1e30 stands for none
    if (length != config.end() && length->is_number_integer() && *length > 2 && *length < 1 << 20) {
      length->get_to(options.length);
    }
  }
  const auto map_file = folder / "special_tokens_map.json";
  if (!complete && std::filesystem::exists(map_file)) {
    read_pad_token(read_json(map_file), options.pad_token);
  }
  return ClipTokenizer(std::move(vocabulary), std::move(options), file.string());
}

void ClipTokenizer::merge_piece(const std::string& bytes, const std::vector<WordSpan>& sources,
                                std::vector<Token>& tokens) const {
  struct Part {
    Token token;
    std::ptrdiff_t before, after;
    bool gone = false;
  };
  std::vector<Part> parts;
  const auto symbols = symbols_of(bytes);
  const auto count = std::ssize(symbols);
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const auto found = vocabulary_.ids.find(symbols[i]);
    parts.push_back({{found == vocabulary_.ids.end() ? end_ : found->second, sources[i]},
                     i - 1,
                     i + 1 < count ? i + 1 : -1});
  }
  // Merges that are possible, the earliest learnt first, then from the left.
  using Candidate = std::tuple<std::size_t, std::ptrdiff_t, std::int64_t, std::int64_t>;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto offer = [&](std::ptrdiff_t left) {
    if (left < 0 || parts[left].after < 0) return;
    const auto a = parts[left].token.id, b = parts[parts[left].after].token.id;
    const auto merge = merge_of_.find(pair_key(a, b));
    if (merge != merge_of_.end()) queue.emplace(merge->second.rank, left, a, b);
  };
  for (std::ptrdiff_t i = 0; i < count; ++i) offer(i);
  while (!queue.empty()) {
    const auto [rank, left, a, b] = queue.top();
    queue.pop();
    auto& part = parts[left];
    if (part.gone || part.token.id != a || part.after < 0) continue;
    auto& next = parts[part.after];
    if (next.token.id != b) continue;
    part.token.id = merge_of_.at(pair_key(a, b)).id;
    part.token.span.begin = std::min(part.token.span.begin, next.token.span.begin);
    part.token.span.end = std::max(part.token.span.end, next.token.span.end);
    part.after = next.after;
    next.gone = true;
    if (part.after >= 0) parts[part.after].before = left;
    offer(part.before);
    offer(left);
  }
  for (const auto& part : parts) {
    if (!part.gone) tokens.push_back(part.token);
  }
}

std::vector<ClipTokenizer::Token> ClipTokenizer::tokens(std::string_view text) const {
  std::vector<Token> all;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto start = std::min(text.find(kStart, begin), text.size());
    const auto end = std::min(text.find(kEnd, begin), text.size());
    const auto special = std::min(start, end);
    for (const auto& piece : clip_pieces(text.substr(begin, special - begin), begin)) {
      merge_piece(piece.bytes, piece.sources, all);
    }
    if (special == text.size()) break;
    begin = special + (start < end ? kStart : kEnd).size();
    all.push_back({start < end ? start_ : end_, {special, begin}});
  }
  return all;
}

std::vector<std::int64_t> ClipTokenizer::encode(std::string_view text) const {
  std::vector<std::int64_t> ids;
  for (const auto& token : tokens(text)) ids.push_back(token.id);
  return ids;
}

ClipTokenizer::Padded ClipTokenizer::padded(std::string_view text) const {
  Padded result{.ids = {start_}, .spans = {}, .cut = {}};
  for (const auto& [id, span] : tokens(text)) {
    if (std::ssize(result.ids) + 1 == options_.length) {
      result.cut = text.substr(span.begin);
      break;
    }
    result.ids.push_back(id);
    result.spans.push_back(span);
  }
  result.ids.push_back(end_);
  result.ids.resize(static_cast<std::size_t>(options_.length), pad_);
  return result;
}

std::string ClipTokenizer::decode(const std::vector<std::int64_t>& ids) const {
  static const auto bytes = [] {
    std::unordered_map<std::string, char> all;
    for (int byte = 0; byte < 256; ++byte) all[byte_symbols()[byte]] = static_cast<char>(byte);
    return all;
  }();
  std::string text;
  for (const auto id : ids) {
    if (id == end_) break;
    if (id < 0 || id >= vocab_size() || id == start_) continue;
    const auto& token = tokens_[id];
    const bool ends = token.ends_with(kWordEnd);
    const auto spelt = token.substr(0, token.size() - (ends ? kWordEnd.size() : 0));
    for (std::size_t at = 0; at < spelt.size();) {
      const std::size_t size = (spelt[at] & 0x80) != 0 ? 2 : 1;
      const auto byte = bytes.find(spelt.substr(at, size));
      if (byte != bytes.end()) text += byte->second;
      at += size;
    }
    if (ends) text += ' ';
  }
  if (text.ends_with(' ')) text.pop_back();
  return text;
}

void ClipTokenizer::save(const std::filesystem::path& folder) const {
  std::map<std::int64_t, std::string> by_id;
  for (const auto& [token, id] : vocabulary_.ids) by_id.emplace(id, token);
  nlohmann::ordered_json ids = nlohmann::ordered_json::object();
  for (const auto& [id, token] : by_id) ids[token] = id;
  std::string merges = "#version: 0.2\n";
  for (const auto& [left, right] : vocabulary_.merges) merges += left + ' ' + right + '\n';
  nlohmann::ordered_json special = {{"bos_token", kStart},
                                    {"eos_token", kEnd},
                                    {"unk_token", kEnd},
                                    {"pad_token", options_.pad_token}};
  io::write_atomically(folder / kVocabularyFile, ids.dump() + '\n');
  io::write_atomically(folder / kMergesFile, merges);
  io::write_atomically(folder / "special_tokens_map.json", special.dump(2) + '\n');
  special["model_max_length"] = options_.length;
  special["tokenizer_class"] = "CLIPTokenizer";
  io::write_atomically(folder / "tokenizer_config.json", special.dump(2) + '\n');
}

}  // namespace rahf::text
