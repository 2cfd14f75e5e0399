#include "lora_file.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/safetensors.h"

namespace rahf::nn {

namespace {

constexpr const char* kMetadataKey = "lora_adapter_metadata";

enum class Factor { kDown, kUp, kAlpha };
struct Ending {
  std::string_view text;
  Factor factor;
};
constexpr std::array kEndings = {
    Ending{".lora_A.weight", Factor::kDown},
    Ending{".lora_B.weight", Factor::kUp},
    Ending{".lora_A.default.weight", Factor::kDown},
    Ending{".lora_B.default.weight", Factor::kUp},
    Ending{".lora.down.weight", Factor::kDown},
    Ending{".lora.up.weight", Factor::kUp},
    Ending{".lora_linear_layer.down.weight", Factor::kDown},
    Ending{".lora_linear_layer.up.weight", Factor::kUp},
    Ending{"_lora.down.weight", Factor::kDown},
    Ending{"_lora.up.weight", Factor::kUp},
    Ending{".lora_down.weight", Factor::kDown},
    Ending{".lora_up.weight", Factor::kUp},
    Ending{".alpha", Factor::kAlpha},
};

/// How the names of a pipeline's part begin; the first is PEFT's and diffusers'.
struct PartNames {
  std::string_view part;
  std::array<std::string_view, 2> beginnings;
};
constexpr std::array kParts = {
    PartNames{"unet", {"lora_unet_", ""}},
    PartNames{"transformer", {"lora_transformer_", ""}},
    PartNames{"text_encoder", {"lora_te_", "lora_te1_"}},
    PartNames{"text_encoder_2", {"lora_te2_", ""}},
    PartNames{"text_encoder_3", {"lora_te3_", ""}},
};

/// A name without the beginning that says which part it is of, and that part; without one the part
/// is empty.
std::pair<std::string, std::string> split_part(const std::string& name, const std::string& wanted) {
  constexpr std::string_view kWrapper = "base_model.model.";
  if (name.starts_with(wanted + '.')) return {name.substr(wanted.size() + 1), wanted};
  if (name.starts_with(kWrapper)) return {name.substr(kWrapper.size()), ""};
  for (const auto& [part, beginnings] : kParts) {
    if (name.starts_with(std::string(part) + '.')) {
      return {name.substr(part.size() + 1), std::string(part)};
    }
    for (const auto beginning : beginnings) {
      if (!beginning.empty() && name.starts_with(beginning)) {
        return {name.substr(beginning.size()), std::string(part)};
      }
    }
  }
  return {name, ""};
}

/// attn1.processor.to_q -> attn1.to_q, attn1.processor.to_out -> attn1.to_out.0
std::string without_processor(std::string name) {
  constexpr std::string_view kProcessor = ".processor.";
  const auto at = name.find(kProcessor);
  if (at == std::string::npos) return name;
  name.replace(at, kProcessor.size(), ".");
  return name.ends_with(".to_out") ? name + ".0" : name;
}

/// Alpha as PEFT's configuration says it.
class AlphaRule {
 public:
  AlphaRule() = default;
  /// @param prefix  before each key, "unet." in diffusers' metadata
  AlphaRule(const nlohmann::json& config, const std::string& prefix) {
    if (!config.is_object()) return;
    const auto value = [&](const char* key) {
      const auto found = config.find(prefix + key);
      return found == config.end() ? nlohmann::json() : *found;
    };
    if (const auto alpha = value("lora_alpha"); alpha.is_number()) alpha_ = alpha.get<double>();
    if (const auto rank_stable = value("use_rslora"); rank_stable.is_boolean()) {
      rank_stable_ = rank_stable.get<bool>();
    }
    if (const auto pattern = value("alpha_pattern"); pattern.is_object()) pattern_ = pattern;
  }
  std::optional<double> of(const std::string& layer, std::int64_t rank) const {
    auto alpha = alpha_;
    for (const auto& [key, one] : pattern_.items()) {
      if (one.is_number() && (layer == key || layer.ends_with('.' + key)))
        alpha = one.get<double>();
    }
    if (alpha && rank_stable_) *alpha *= std::sqrt(static_cast<double>(rank));
    return alpha;
  }

 private:
  std::optional<double> alpha_;
  bool rank_stable_ = false;  ///< Scaled by alpha / sqrt(r): Kalajdzievski 2023, arXiv 2312.03732.
  nlohmann::json pattern_ = nlohmann::json::object();
};

nlohmann::json parse(const std::string& content, const std::string& where) {
  auto json = nlohmann::json::parse(content, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw FileError(where + ": must be a JSON object");
  return json;
}

std::filesystem::path file_in(const std::filesystem::path& path) {
  constexpr const char* kPeftName = "adapter_model.safetensors";
  if (!std::filesystem::is_directory(path)) return path;
  if (std::filesystem::exists(path / LoraFile::kName)) return path / LoraFile::kName;
  if (std::filesystem::exists(path / kPeftName)) return path / kPeftName;
  throw FileError(path.string() + ": must hold " + LoraFile::kName + " or " + kPeftName);
}

}  // namespace

LoraFile LoraFile::read(const std::filesystem::path& path, const std::string& part) {
  const auto file = file_in(path);
  const auto content = io::read_safetensors(file);
  LoraFile result;
  std::string others, problems;
  for (const auto& [key, tensor] : content.tensors) {
    const auto ending = std::find_if(kEndings.begin(), kEndings.end(),
                                     [&key = key](const auto& e) { return key.ends_with(e.text); });
    if (ending == kEndings.end()) {
      problems += "\n  " + key + " is of no layout that is known";
      continue;
    }
    const auto [name, of_part] = split_part(key.substr(0, key.size() - ending->text.size()), part);
    if (!of_part.empty() && of_part != part) {
      if (others.find(of_part) == std::string::npos) others += ' ' + of_part;
      continue;
    }
    auto& layer = result.layers[without_processor(name)];
    if (ending->factor == Factor::kDown) layer.down = tensor;
    if (ending->factor == Factor::kUp) layer.up = tensor;
    if (ending->factor == Factor::kAlpha) {
      if (tensor.numel() != 1) {
        problems += "\n  " + key + " must be one number";
      } else {
        layer.alpha = tensor.item<double>();
      }
    }
  }
  if (!problems.empty()) {
    throw CheckpointError(file.string() + ": must be a LoRA, but:" + problems);
  }
  if (result.layers.empty()) {
    throw CheckpointError(file.string() + ": must hold a LoRA of the " + part + ", there is" +
                          (others.empty() ? " none" : " one of" + others));
  }
  AlphaRule rule;
  const auto config = file.parent_path() / "adapter_config.json";
  const auto metadata = content.metadata.find(kMetadataKey);
  if (metadata != content.metadata.end()) {
    rule = AlphaRule(parse(metadata->second, file.string() + ", metadata"), part + '.');
  } else if (std::filesystem::exists(config)) {
    rule = AlphaRule(parse(io::read_file(config), config.string()), "");
  }
  for (auto& [name, layer] : result.layers) {
    if (!layer.alpha && layer.down.defined()) layer.alpha = rule.of(name, layer.down.size(0));
  }
  return result;
}

void LoraFile::write(const std::filesystem::path& folder, const std::string& part) const {
  io::TensorMap tensors;
  nlohmann::json metadata, ranks = nlohmann::json::object(), alphas = nlohmann::json::object();
  const auto key = [&](const char* name) { return part + '.' + name; };
  metadata[key("target_modules")] = nlohmann::json::array();
  for (const auto& [name, layer] : layers) {
    tensors[part + '.' + name + ".lora_A.weight"] = layer.down.contiguous();
    tensors[part + '.' + name + ".lora_B.weight"] = layer.up.contiguous();
    metadata[key("target_modules")].push_back(name);
    const auto rank = layer.down.size(0);
    const auto alpha = layer.alpha.value_or(static_cast<double>(rank));
    if (!metadata.contains(key("r"))) {
      metadata[key("r")] = rank;
      metadata[key("lora_alpha")] = alpha;
    }
    if (metadata[key("r")] != rank) ranks[name] = rank;
    if (metadata[key("lora_alpha")] != alpha) alphas[name] = alpha;
  }
  if (!ranks.empty()) metadata[key("rank_pattern")] = ranks;
  if (!alphas.empty()) metadata[key("alpha_pattern")] = alphas;
  io::write_safetensors(folder / kName, tensors,
                        {{"format", "pt"}, {kMetadataKey, metadata.dump()}});
}

}  // namespace rahf::nn
