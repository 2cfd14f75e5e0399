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
  return std::make_shared<TextCondition>(std::move(tokenizer), encoder,
                                         TextConditionOptions{.layer = layer, .trainable = true});
}

}  // namespace rahf::generators
