#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <map>
#include <string>

namespace rahf::generators {

/// Where a model is pretrained, and how it is left.
struct PretrainingPlace {
  std::filesystem::path run;  ///< The run's folder; the model is written to RUN/model.
  bool resume = false;        ///< Go on from the newest checkpoint, if there is one.
  c10::Device device = c10::kCPU;
  bool half = false;                        ///< Write the model in half precision.
  std::map<std::string, std::string> note;  ///< For the metadata of its files.

  std::filesystem::path model() const { return run / "model"; }
};

/// Rewrites every .safetensors file below `folder`: with `note` in its metadata, and with numbers
/// in half precision if asked for.
void finish_model(const std::filesystem::path& folder, const PretrainingPlace& place);

}  // namespace rahf::generators
