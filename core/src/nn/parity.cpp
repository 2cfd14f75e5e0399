#include "rahf/core/nn/parity.h"

#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>

#include "rahf/core/error.h"
#include "rahf/core/nn/clip_folder.h"
#include "rahf/core/nn/config.h"
#include "rahf/core/nn/config_file.h"

namespace rahf::nn {

ParityCase ParityCase::read(const std::filesystem::path& file) {
  constexpr std::string_view kInput = "input.", kOutput = "output.";
  ParityCase test;
  for (const auto& [name, tensor] : io::read_safetensors(file).tensors) {
    if (name.starts_with(kInput)) {
      test.inputs.emplace(name.substr(kInput.size()), tensor);
    } else if (name.starts_with(kOutput)) {
      test.expected.emplace(name.substr(kOutput.size()), tensor);
    } else {
      throw FileError(file.string() + ": names must be input.NAME or output.NAME, got " + name);
    }
  }
  if (test.expected.empty()) throw FileError(file.string() + ": must hold an output.NAME");
  return test;
}

const torch::Tensor& ParityCase::input(const std::string& name) const {
  const auto found = inputs.find(name);
  if (found != inputs.end()) return found->second;
  std::string there;
  for (const auto& [other, tensor] : inputs) there += " input." + other;
  throw FileError("the case: input." + name + " is missing, there is" +
                  (there.empty() ? " no input" : there));
}

io::TensorMap vit_outputs(const std::filesystem::path& folder, const ParityCase& test) {
  const torch::NoGradGuard no_grad;
  auto options = vit_options(folder / "config.json");
  options.interpolate_positions = test.inputs.contains("interpolate_pos_encoding");
  ViT model(options);
  load_weights(*model, folder, vit_weight_names());
  return {{"last_hidden_state", model(test.input("pixel_values"))}};
}

io::TensorMap t5_outputs(const std::filesystem::path& folder, const ParityCase& test) {
  const torch::NoGradGuard no_grad;
  auto model = load_t5(folder);
  const auto mask =
      test.inputs.contains("attention_mask") ? test.input("attention_mask") != 0 : torch::Tensor();
  const auto states = model->encode(model->embed(test.input("input_ids")), mask);
  io::TensorMap outputs{{"encoder_last_hidden_state", states}};
  if (test.expected.contains("logits")) {
    outputs.emplace("logits", model->decode(test.input("decoder_input_ids"), states, mask));
  }
  if (const auto greedy = test.expected.find("greedy"); greedy != test.expected.end()) {
    outputs.emplace("greedy",
                    nn::greedy(next_logits(*model, states, mask), states.size(0), states.device(),
                               {.max_new_tokens = greedy->second.size(-1) - 1}));
  }
  return outputs;
}

io::TensorMap clip_outputs(const std::filesystem::path& folder, const ParityCase& test) {
  const torch::NoGradGuard no_grad;
  std::string type = "clip";
  ConfigFile(folder / "config.json").read("model_type", type);
  const auto mask =
      test.inputs.contains("attention_mask") ? test.input("attention_mask") != 0 : torch::Tensor();
  io::TensorMap outputs;
  if (type == "clip_text_model") {
    const auto states = load_clip_text(folder)(test.input("input_ids"), mask);
    outputs = {{"last_hidden_state", states.last},
               {"hidden_states.-2", states.penultimate},
               {"pooler_output", states.pooled}};
    if (states.embeds.defined()) outputs.emplace("text_embeds", states.embeds);
  } else if (type == "clip_vision_model") {
    const auto states = load_clip_vision(folder)(test.input("pixel_values"));
    outputs = {{"last_hidden_state", states.last}, {"pooler_output", states.pooled}};
    if (states.embeds.defined()) outputs.emplace("image_embeds", states.embeds);
  } else {
    auto model = load_clip(folder);
    const auto images = model->encode_images(test.input("pixel_values"));
    const auto texts = model->encode_text(test.input("input_ids"), mask);
    const auto logits = model->logits_per_image(images, texts);  // [B, T]
    const auto unit = [](const torch::Tensor& x) { return x / x.norm(2, {-1}, true); };
    outputs = {{"image_embeds", unit(images)},
               {"text_embeds", unit(texts)},
               {"logits_per_image", logits},
               {"logits_per_text", logits.t()}};
  }
  return outputs;
}

std::vector<ParityDifference> parity_differences(const io::TensorMap& got,
                                                 const io::TensorMap& expected) {
  std::vector<ParityDifference> differences;
  for (const auto& [name, wanted] : expected) {
    const auto ours = got.find(name);
    if (ours == got.end()) throw ShapeError("output." + name + " is none of this module's outputs");
    if (ours->second.sizes() != wanted.sizes()) {
      std::ostringstream text;
      text << "output." << name << " must be " << wanted.sizes() << ", got "
           << ours->second.sizes();
      throw ShapeError(text.str());
    }
    const auto apart = ours->second.to(torch::kDouble) - wanted.to(torch::kDouble);
    auto largest = wanted.numel() == 0 ? 0 : apart.abs().max().item<double>();
    if (std::isnan(largest)) largest = std::numeric_limits<double>::infinity();
    differences.push_back({name, largest});
  }
  return differences;
}

}  // namespace rahf::nn
