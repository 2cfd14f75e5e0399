#pragma once

#include <filesystem>
#include <vector>

#include "rahf/core/io/safetensors.h"

namespace rahf::nn {

/// What a reference implementation was given and what it computed: a safetensors file with
/// `input.NAME` and `output.NAME`, named as Hugging Face's forward() names them.
struct ParityCase {
  io::TensorMap inputs, expected;

  /// @throws FileError if the file holds other names or no output.
  static ParityCase read(const std::filesystem::path& file);
  /// @throws FileError "input.NAME is missing" with what is there.
  const torch::Tensor& input(const std::string& name) const;
};

/// Loads a model folder and computes what a case expects, by name. Other outputs may be left out.
using ParityModule = io::TensorMap (*)(const std::filesystem::path& folder, const ParityCase& test);

/// pixel_values, interpolate_pos_encoding (optional) -> last_hidden_state
io::TensorMap vit_outputs(const std::filesystem::path& folder, const ParityCase& test);
/// input_ids, attention_mask (optional), decoder_input_ids (for logits) ->
/// encoder_last_hidden_state, logits, greedy (as many ids as the case has)
io::TensorMap t5_outputs(const std::filesystem::path& folder, const ParityCase& test);

/// By the folder's model_type: input_ids, attention_mask (optional) -> last_hidden_state,
/// hidden_states.-2, pooler_output, text_embeds; pixel_values -> last_hidden_state, pooler_output,
/// image_embeds; both -> text_embeds, image_embeds, logits_per_image, logits_per_text
io::TensorMap clip_outputs(const std::filesystem::path& folder, const ParityCase& test);

struct ParityDifference {
  std::string output;
  double largest = 0;  ///< max |got - expected|; infinite if either has a NaN.
};
/// One entry per expected output, by name.
/// @throws ShapeError if an output is missing or has another shape.
std::vector<ParityDifference> parity_differences(const io::TensorMap& got,
                                                 const io::TensorMap& expected);

}  // namespace rahf::nn
