#include "rahf/generators/text_condition.h"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <iostream>
#include <utility>
#include <vector>

#include "rahf/core/error.h"
#include "rahf/core/nn/clip_folder.h"
#include "rahf/core/words.h"

namespace rahf::generators {

namespace {

constexpr const char* kTokenizerFolder = "tokenizer";
constexpr const char* kEncoderFolder = "text_encoder";

}  // namespace

TextCondition::TextCondition(text::ClipTokenizer tokenizer, nn::ClipText encoder,
                             TextConditionOptions options)
    : tokenizer_(std::move(tokenizer)), encoder_(std::move(encoder)), options_(std::move(options)) {
  const auto& model = encoder_->options();
  const auto require = [](std::int64_t has, std::int64_t needed, const char* what) {
    if (has >= needed) return;
    throw ConfigError(std::string("TextCondition: the text encoder must have ") + what +
                      " for the tokenizer's " + std::to_string(needed) + ", got " +
                      std::to_string(has));
  };
  require(model.max_position_embeddings, tokenizer_.length(), "positions");
  require(model.vocab_size, tokenizer_.vocab_size(), "rows");
  encoder_->eval();
  if (!options_.warn) {
    options_.warn = [](const std::string& text) { std::cerr << "warning: " << text << '\n'; };
  }
}

TextCondition TextCondition::load(const std::filesystem::path& pipeline, torch::Device device,
                                  TextConditionOptions options) {
  auto encoder = nn::load_clip_text(pipeline / kEncoderFolder);
  encoder->to(device);
  return TextCondition(text::ClipTokenizer::load(pipeline / kTokenizerFolder), std::move(encoder),
                       std::move(options));
}

void TextCondition::save(const std::filesystem::path& pipeline) const {
  tokenizer_.save(pipeline / kTokenizerFolder);
  nn::save_clip_text(encoder_, pipeline / kEncoderFolder);
}

text::ClipTokenizer::Padded TextCondition::pad(const std::string& text) {
  auto padded = tokenizer_.padded(text);
  if (!padded.cut.empty() && warned_.insert(text).second) {
    options_.warn("a prompt has more tokens than the " + std::to_string(tokenizer_.length() - 2) +
                  " that the text encoder reads; of \"" + text + "\" this is cut off: \"" +
                  padded.cut + '"');
  }
  return padded;
}

TextStates TextCondition::run(const std::vector<std::string>& texts) {
  std::vector<torch::Tensor> rows;
  for (const auto& text : texts) rows.push_back(torch::tensor(pad(text).ids));
  const auto ids = torch::stack(rows).to(encoder_->parameters().front().device());  // [B, L]
  const auto states = encoder_(ids);
  return {options_.layer == TextLayer::kLast ? states.last : states.penultimate,
          states.embeds.defined() ? states.embeds : states.pooled};
}

const TextCondition::Entry& TextCondition::cached(const std::string& text) {
  const auto found = by_text_.find(text);
  if (found != by_text_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return entries_.front();
  }
  const c10::InferenceMode normal_tensors(false);  // a training step may save them for backward
  const torch::NoGradGuard no_grad;                // after it: leaving that mode turns gradients on
  const auto result = run({text});
  entries_.push_front({text, result.states[0], result.pooled[0]});
  by_text_[text] = entries_.begin();
  return entries_.front();
}

torch::Tensor TextCondition::token_weights(const Prompts& prompts) const {
  torch::Tensor weights;
  for (std::size_t b = 0; b < prompts.size(); ++b) {
    const auto& [text, word_weights] = prompts[b];
    if (word_weights.empty()) continue;
    const auto words = word_spans(text);
    if (words.size() != word_weights.size()) {
      throw ConfigError("TextCondition::encode: word_weights must be one per word, got " +
                        std::to_string(word_weights.size()) + " for the " +
                        std::to_string(words.size()) + " of \"" + text + '"');
    }
    if (!weights.defined()) {
      weights = torch::ones({std::ssize(prompts), tokenizer_.length()});
    }
    const auto spans = tokenizer_.padded(text).spans;
    auto* row = weights[static_cast<std::int64_t>(b)].data_ptr<float>();
    std::size_t word = 0;
    for (std::size_t i = 0; i < spans.size(); ++i) {
      while (word < words.size() && words[word].end <= spans[i].begin) ++word;
      if (word == words.size()) break;
      if (words[word].begin < spans[i].end) row[1 + i] = word_weights[word];  // 1: the start token
    }
  }
  return weights;
}

TextStates TextCondition::encode(const Prompts& prompts) {
  if (prompts.empty()) throw ConfigError("TextCondition::encode: prompts must not be empty");
  TextStates result;
  if (options_.trainable) {
    std::vector<std::string> texts;
    for (const auto& prompt : prompts) texts.push_back(prompt.text);
    result = run(texts);
  } else {
    std::vector<torch::Tensor> states, pooled;
    for (const auto& prompt : prompts) {
      const auto& entry = cached(prompt.text);
      states.push_back(entry.states);
      pooled.push_back(entry.pooled);
    }
    result = {torch::stack(states), torch::stack(pooled)};
    while (entries_.size() > options_.cache_size) {
      by_text_.erase(entries_.back().text);
      entries_.pop_back();
    }
  }
  if (const auto weights = token_weights(prompts); weights.defined()) {
    result.states = result.states * weights.to(result.states.options()).unsqueeze(-1);
  }
  return result;
}

}  // namespace rahf::generators
