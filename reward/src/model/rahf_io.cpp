#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/nn/weights.h"
#include "rahf/reward/model/rahf.h"

namespace rahf::reward {
namespace {

constexpr const char* kArchitecture = "RahfModel";

nlohmann::json read_json(const std::filesystem::path& file) {
  try {
    return nlohmann::json::parse(io::read_file(file));
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError(file.string() + ": not JSON: " + error.what());
  }
}

// Numbers and truth values as such, all else as text.
nlohmann::json json_value(const std::string& text) {
  const auto parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  return parsed.is_number() || parsed.is_boolean() ? parsed : nlohmann::json(text);
}

RahfOptions read_options(const std::filesystem::path& folder) {
  const auto file = folder / "config.json";
  const auto config = read_json(file);
  if (!config.is_object() || config.value("architecture", nlohmann::json()) != kArchitecture ||
      !config.contains("options") || !config["options"].is_object()) {
    throw CheckpointError(file.string() + ": must have \"architecture\": \"" + kArchitecture +
                          "\" and an object \"options\"");
  }
  RahfOptions options;
  auto rest = config["options"];
  for (auto& field : option_fields(options)) {
    const auto it = rest.find(field.name);
    if (it == rest.end()) continue;  // younger than the file: its default is what held before
    try {
      field.set(it->is_string() ? it->get<std::string>() : it->dump());
    } catch (const ConfigError& error) {
      throw CheckpointError(file.string() + ": " + field.name + " " + error.what());
    }
    rest.erase(it);
  }
  // Options that are gone, with the value at which they changed nothing.
  for (const auto& [name, neutral] : {std::pair("heatmap.norm_eps", 0.0)}) {
    const auto it = rest.find(name);
    if (it == rest.end()) continue;
    if (*it != neutral) {
      throw CheckpointError(file.string() + ": " + name + " must be " +
                            option_text::write(neutral) + ", got " + it->dump() +
                            " (other values are no longer offered)");
    }
    rest.erase(it);
  }
  if (!rest.empty()) {
    throw CheckpointError(file.string() + ": unknown option " + rest.begin().key());
  }
  try {
    options.validate();
  } catch (const ConfigError& error) {
    throw CheckpointError(file.string() + ": " + error.what());
  }
  return options;
}

}  // namespace

void save_rahf(const std::filesystem::path& folder, RahfModelImpl& model,
               const text::Tokenizer& tokenizer, const std::map<std::string, std::string>& note,
               torch::Dtype dtype) {
  nlohmann::ordered_json config;
  config["architecture"] = kArchitecture;
  auto options = model.options();
  for (const auto& field : option_fields(options)) {
    config["options"][field.name] = json_value(field.get());
  }
  auto tensors = nn::weights(model);
  for (auto& [name, tensor] : tensors) {
    tensor = tensor.detach().to(torch::kCPU, dtype).contiguous();
  }
  io::replace_atomically(folder, [&](const std::filesystem::path& temporary) {
    std::filesystem::create_directories(temporary);
    io::write_atomically(temporary / "config.json", config.dump(2) + '\n');
    io::write_safetensors(temporary / "model.safetensors", tensors, note);
    tokenizer.save(temporary);
  });
}

RahfModel load_rahf_model(const std::filesystem::path& folder) {
  RahfModel model(read_options(folder));
  nn::load_weights(*model, folder);
  return model;
}

void RahfModelImpl::load_vit(const std::filesystem::path& folder) {
  nn::load_weights(*vit_, folder, nn::vit_weight_names());
}

void RahfModelImpl::load_t5(const std::filesystem::path& folder) {
  auto tensors = nn::t5_tensors(io::read_weights(folder).tensors, folder.string());
  if (!options_.t5.tie_word_embeddings && !tensors.contains("lm_head.weight")) {
    tensors["lm_head.weight"] = tensors["shared.weight"];
  }
  nn::load_weights(*t5_, tensors, folder.string());
}

std::unique_ptr<RahfReward> RahfReward::load(const std::filesystem::path& folder,
                                             torch::Device device) {
  auto model = load_rahf_model(folder);
  model->to(device);
  return std::make_unique<RahfReward>(std::move(model), text::load_tokenizer(folder));
}

}  // namespace rahf::reward
