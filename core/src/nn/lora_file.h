#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace rahf::nn {

/// What a LoRA file holds for one part of a pipeline, whatever its layout.
struct LoraFile {
  static constexpr const char* kName = "pytorch_lora_weights.safetensors";

  struct Layer {
    torch::Tensor down, up;  ///< As in the file; undefined where it has none.
    std::optional<double> alpha;
  };
  std::map<std::string, Layer> layers;  ///< By name; kohya's with underscores for dots.

  /// @throws CheckpointError listing keys that are of no layout, or if nothing is for `part`.
  static LoraFile read(const std::filesystem::path& file, const std::string& part);
  /// In PEFT's layout.
  void write(const std::filesystem::path& folder, const std::string& part) const;
};

}  // namespace rahf::nn
