#pragma once

#include <c10/core/Device.h>

#include <memory>
#include <string>
#include <vector>

#include "rahf/core/nn/clip_text.h"
#include "rahf/generators/text_condition.h"

namespace rahf::generators {

/// A text encoder that has learnt nothing yet, to be trained along with a generator: every one of
/// `words` is one token, texts are as long as the encoder has positions.
/// @param options  vocab_size and eos_token_id are those of the tokenizer, whatever is given
/// @param layer    which states the generator reads
std::shared_ptr<TextCondition> start_text(nn::ClipTextOptions options,
                                          const std::vector<std::string>& words, nn::ClipHead head,
                                          TextLayer layer, c10::Device device);

}  // namespace rahf::generators
