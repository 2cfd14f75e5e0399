#include "rahf/core/words.h"

namespace rahf {

std::vector<WordSpan> word_spans(std::string_view prompt) {
  constexpr std::string_view kSeparators = ",.?!\":; \t\r\n\f\v";
  std::vector<WordSpan> spans;
  for (std::size_t begin = 0; begin < prompt.size();) {
    begin = prompt.find_first_not_of(kSeparators, begin);
    if (begin == std::string_view::npos) break;
    const auto end = std::min(prompt.find_first_of(kSeparators, begin), prompt.size());
    spans.push_back({begin, end});
    begin = end;
  }
  return spans;
}

std::vector<std::string> split_words(std::string_view prompt) {
  std::vector<std::string> words;
  for (const auto& [begin, end] : word_spans(prompt)) {
    words.emplace_back(prompt.substr(begin, end - begin));
  }
  return words;
}

std::string join_words(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) {
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

}  // namespace rahf
