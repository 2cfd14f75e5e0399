#include "rahf/generators/pretrain/text_start.h"

#include <utility>

namespace rahf::generators {

std::shared_ptr<TextCondition> start_text(nn::ClipTextOptions options,
                                          const std::vector<std::string>& words, nn::ClipHead head,
                                          TextLayer layer, c10::Device device) {
  text::ClipTokenizer tokenizer(text::bpe_vocabulary(words),
                                {.length = options.max_position_embeddings});
  options.vocab_size = tokenizer.vocab_size();
  options.eos_token_id = tokenizer.eos_id();
  nn::ClipText encoder(options, head);
  encoder->to(device);
  return std::make_shared<TextCondition>(
      std::move(tokenizer), encoder, TextConditionOptions{.layer = layer, .trainable = true});
}

std::vector<OptimisedParameter> all_parameters(const torch::nn::Module& module,
                                               const std::string& prefix) {
  std::vector<OptimisedParameter> parameters;
  for (const auto& item : module.named_parameters()) {
    parameters.push_back({.name = prefix + item.key(),
                          .value = item.value(),
                          .weight_decay = item.value().dim() > 1});
  }
  return parameters;
}

}  // namespace rahf::generators
