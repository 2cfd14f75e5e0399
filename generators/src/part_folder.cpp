#include "rahf/generators/part_folder.h"

#include <array>
#include <utility>

#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/safetensors.h"
#include "rahf/core/nn/weights.h"

namespace rahf::generators {

namespace {

constexpr const char* kWeights = "diffusion_pytorch_model";

/// What an attention's layers were called before they were named after their use.
constexpr std::array<std::pair<const char*, const char*>, 4> kOldNames = {{
    {".query.", ".to_q."},
    {".key.", ".to_k."},
    {".value.", ".to_v."},
    {".proj_attn.", ".to_out.0."},
}};

/// The present name of a tensor, or its own.
std::string present_name(const std::string& name) {
  for (const auto& [before, now] : kOldNames) {
    const auto at = name.rfind(before);
    if (at == std::string::npos) continue;
    return name.substr(0, at) + now + name.substr(at + std::string_view(before).size());
  }
  return name;
}

}  // namespace

void load_part(torch::nn::Module& module, const std::filesystem::path& folder) {
  auto read = io::read_weights(folder, kWeights);
  const auto targets = nn::weights(module);
  io::TensorMap renamed;
  for (auto& [name, tensor] : read.tensors) {
    const auto target = targets.contains(name) ? targets.end() : targets.find(present_name(name));
    if (target == targets.end()) {
      renamed.emplace(name, tensor);
    } else {  // old layers were also stored as 1 x 1 convolutions
      const bool flat = tensor.dim() == 4 && target->second.dim() == 2 && tensor[0][0].numel() == 1;
      renamed.emplace(target->first, flat ? tensor.flatten(1) : tensor);
    }
  }
  read.tensors = std::move(renamed);
  nn::load_weights(module, std::move(read), folder.string());
}

io::JsonObject part_config(const std::string& class_name) {
  io::JsonObject config;
  config.set("_class_name", class_name);
  config.set("_diffusers_version", "0.30.0");
  return config;
}

void save_part(const torch::nn::Module& module, const io::JsonObject& config,
               const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  io::write_safetensors(folder / "diffusion_pytorch_model.safetensors", nn::weights(module),
                        {{"format", "pt"}});
  io::write_atomically(folder / "config.json", config.text());
}

}  // namespace rahf::generators
