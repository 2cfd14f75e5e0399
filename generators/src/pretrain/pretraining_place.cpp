#include "rahf/generators/pretrain/pretraining_place.h"

#include <torch/types.h>

#include "rahf/core/io/safetensors.h"

namespace rahf::generators {

void finish_model(const std::filesystem::path& folder, const PretrainingPlace& place) {
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    io::TensorMap tensors;
    io::Metadata metadata;
    {
      const auto file = io::read_safetensors(entry.path());
      metadata = file.metadata;
      for (const auto& [name, tensor] : file.tensors) {
        const bool halve = place.half && tensor.is_floating_point();
        // A copy: what was read may be the file's own memory.
        tensors[name] = tensor.to(halve ? torch::kHalf : tensor.scalar_type()).clone();
      }
    }
    for (const auto& [key, value] : place.note) metadata[key] = value;
    io::write_safetensors(entry.path(), tensors, metadata);
  }
}

}  // namespace rahf::generators
