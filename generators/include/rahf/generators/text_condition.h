#pragma once

#include <torch/types.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <list>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "rahf/core/nn/clip_text.h"
#include "rahf/core/prompt.h"
#include "rahf/core/text/clip_tokenizer.h"

namespace rahf::generators {

/// Which states of the text encoder a generator reads.
enum class TextLayer {
  kLast,         ///< After the last layer and the final norm: Stable Diffusion.
  kPenultimate,  ///< After the last layer but one: aMUSEd.
};

struct TextConditionOptions {
  TextLayer layer = TextLayer::kLast;
  bool trainable = false;         ///< Keep a gradient path to the encoder; then nothing is cached.
  std::size_t cache_size = 4096;  ///< Texts whose states are kept, the latest used; 0 keeps none.
  /// Told once per text that is longer than the encoder reads; empty writes to standard error.
  std::function<void(const std::string&)> warn = {};
};

/// What a generator reads of B prompts.
struct TextStates {
  torch::Tensor states;  ///< [B, L, D]
  torch::Tensor pooled;  ///< [B, P] projected where the encoder has a projection, else P = D
};

/// The text side of a text-to-image pipeline: CLIP's tokenizer and text encoder, and a cache.
///
/// Texts are padded to the tokenizer's length, and no padding is masked, as diffusion pipelines do.
/// Each text is encoded on its own, so that its states do not depend on its batch (but for
/// `trainable`). Not thread-safe; not random.
class TextCondition {
 public:
  /// @throws ConfigError if the encoder has not the positions or the rows that the tokenizer needs.
  TextCondition(text::ClipTokenizer tokenizer, nn::ClipText encoder,
                TextConditionOptions options = {});
  /// `tokenizer` and `text_encoder` of a pipeline folder.
  static TextCondition load(const std::filesystem::path& pipeline, torch::Device device,
                            TextConditionOptions options = {});

  /// Without a gradient unless `trainable`. Where a prompt has word weights the states of each
  /// word's tokens are multiplied by the word's: those of ones change no bit. `pooled` is not
  /// weighted.
  /// @throws ConfigError if word_weights are not one per word (split_words()), or the text is not
  ///         UTF-8.
  TextStates encode(const Prompts& prompts);

  const text::ClipTokenizer& tokenizer() const { return tokenizer_; }
  nn::ClipText& encoder() { return encoder_; }
  /// Writes `tokenizer` and `text_encoder` into a pipeline folder.
  void save(const std::filesystem::path& pipeline) const;

 private:
  struct Entry {
    std::string text;
    torch::Tensor states, pooled;  ///< [L, D], [P]
  };
  TextStates run(const std::vector<std::string>& texts);
  const Entry& cached(const std::string& text);
  /// The factor on each state, [B, L] f32, or undefined if no prompt has weights.
  torch::Tensor token_weights(const Prompts& prompts) const;
  text::ClipTokenizer::Padded pad(const std::string& text);

  text::ClipTokenizer tokenizer_;
  nn::ClipText encoder_;
  TextConditionOptions options_;
  std::list<Entry> entries_;  ///< The latest used first.
  std::unordered_map<std::string, std::list<Entry>::iterator> by_text_;
  std::unordered_set<std::string> warned_;
};

}  // namespace rahf::generators
