#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rahf {

/// The words of a prompt as RichHF-18K counts them: split at `, . ? ! " : ;` and white space,
/// empty parts dropped. Word labels and `misaligned_words` index into this list.
std::vector<std::string> split_words(std::string_view prompt);

/// Where those words lie in the prompt, in bytes.
struct WordSpan {
  std::size_t begin = 0;
  std::size_t end = 0;  ///< One past the last byte.
};
std::vector<WordSpan> word_spans(std::string_view prompt);

/// The words joined by single spaces (the "clean prompt").
std::string join_words(const std::vector<std::string>& words);

}  // namespace rahf
