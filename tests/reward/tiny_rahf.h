#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rahf/core/text/word_tokenizer.h"
#include "rahf/reward/model/rahf.h"

/// Words of the prompts in tests and of the task strings.
inline std::shared_ptr<const rahf::text::Tokenizer> tiny_tokenizer() {
  return std::make_shared<rahf::text::WordTokenizer>(std::vector<std::string>{
      "_0", "<extra_id_0>", "<output>", "</output>", "SCORE:", "HEATMAP:", "plausibility",
      "alignment", "aesthetics", "overall", "implausibility", "misalignment", "a", "red", "blue",
      "green", "circle", "square", "above"});
}

/// RAHF for pictures of 16 x 16, small enough for finite differences.
inline rahf::reward::RahfOptions tiny_rahf_options(rahf::reward::Variant variant) {
  rahf::reward::RahfOptions options;
  options.variant = variant;
  options.position_amplitude = 0.5;
  options.vit = {
      .width = 16, .layers = 1, .heads = 2, .hidden = 24, .image_size = 16, .patch_size = 4};
  options.t5 = {.vocab_size = tiny_tokenizer()->vocab_size(),
                .d_model = 16,
                .d_kv = 8,
                .num_heads = 2,
                .num_layers = 2,
                .num_decoder_layers = 1,
                .d_ff = 24};
  options.heatmap = {.entry = {8}, .stages = {8, 4}, .stage_convs = 1, .readout = 4};
  options.score = {.channels = {6}, .hidden = {8}};
  return options;
}
