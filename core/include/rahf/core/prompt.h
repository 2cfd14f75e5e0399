#pragma once

#include <string>
#include <vector>

namespace rahf {

/// What a picture is asked to show.
struct Prompt {
  std::string text;
  std::vector<float> word_weights = {};  ///< Empty, or one per word: how strongly it conditions; 1
                                         ///< is neutral.
};

using Prompts = std::vector<Prompt>;

}  // namespace rahf
