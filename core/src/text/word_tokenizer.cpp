#include "rahf/core/text/word_tokenizer.h"

#include <algorithm>
#include <sstream>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"

namespace rahf::text {

namespace {

constexpr std::string_view kSpaces = " \t\n\v\f\r";
const std::vector<std::string>& special_tokens() {
  static const std::vector<std::string> tokens = {"<pad>", "</s>", "<unk>"};
  return tokens;
}

}  // namespace

WordTokenizer::WordTokenizer(const std::vector<std::string>& words) : tokens_(special_tokens()) {
  tokens_.insert(tokens_.end(), words.begin(), words.end());
  for (std::int64_t i = 0; i < std::ssize(tokens_); ++i) {
    const auto& token = tokens_[i];
    if (token.empty() || token.find_first_of(kSpaces) != std::string::npos) {
      throw ConfigError("WordTokenizer: a word must not be empty or hold white space, got '" +
                        token + "' for id " + std::to_string(i));
    }
    if (!ids_.emplace(token, i).second) {
      throw ConfigError("WordTokenizer: words must differ, got '" + token + "' again for id " +
                        std::to_string(i));
    }
  }
}

WordTokenizer WordTokenizer::load(const std::filesystem::path& file) {
  std::istringstream lines(io::read_file(file));
  std::vector<std::string> words;
  for (std::string line; std::getline(lines, line);) {
    const auto index = words.size();
    if (index < special_tokens().size() && line != special_tokens()[index]) {
      throw FileError(file.string() + ":" + std::to_string(index + 1) + ": must be " +
                      special_tokens()[index] + ", got '" + line + "'");
    }
    words.push_back(std::move(line));
  }
  if (words.size() < special_tokens().size()) {
    throw FileError(file.string() + ": must begin with the lines <pad>, </s>, <unk>");
  }
  words.erase(words.begin(), words.begin() + std::ssize(special_tokens()));
  try {
    return WordTokenizer(words);
  } catch (const ConfigError& error) {
    throw FileError(file.string() + ": " + error.what());
  }
}

std::int64_t WordTokenizer::id(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? kUnknown : found->second;
}

std::vector<std::int64_t> WordTokenizer::encode(std::string_view text) const {
  std::vector<std::int64_t> ids;
  for (auto begin = text.find_first_not_of(kSpaces); begin != text.npos;
       begin = text.find_first_not_of(kSpaces, begin)) {
    const auto end = std::min(text.find_first_of(kSpaces, begin), text.size());
    const auto word = text.substr(begin, end - begin);
    if (word.ends_with(kSuffix) && word.size() > kSuffix.size() && !ids_.contains(word)) {
      ids.push_back(id(word.substr(0, word.size() - kSuffix.size())));
      ids.push_back(id(kSuffix));
    } else {
      ids.push_back(id(word));
    }
    begin = end;
  }
  return ids;
}

std::string WordTokenizer::decode(const std::vector<std::int64_t>& ids) const {
  std::string text;
  for (const auto i : ids) {
    if (i < 0 || i >= vocab_size() || i == kPad || i == kEos) continue;
    if (!text.empty() && tokens_[i] != kSuffix) text += ' ';
    text += tokens_[i];
  }
  return text;
}

void WordTokenizer::save(const std::filesystem::path& folder) const {
  std::string content;
  for (const auto& token : tokens_) content += token + '\n';
  io::write_atomically(folder / kFileName, content);
}

}  // namespace rahf::text
