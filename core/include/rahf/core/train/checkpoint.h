#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "rahf/core/io/safetensors.h"

namespace rahf::train {

/// The checkpoints of a run: `FOLDER/NNNNNNNN.safetensors`, named by the updates done. Each appears
/// whole or not at all; the newest `keep` stay.
class Checkpoints {
 public:
  Checkpoints(std::filesystem::path folder, std::int64_t keep);

  /// Updates of the newest checkpoint, or nothing if there is none.
  std::optional<std::int64_t> latest() const;
  /// @throws FileError if it cannot be read.
  io::Safetensors load(std::int64_t updates) const;
  const std::filesystem::path& folder() const { return folder_; }
  void save(std::int64_t updates, const io::TensorMap& tensors, const io::Metadata& metadata);

 private:
  std::filesystem::path file(std::int64_t updates) const;

  std::filesystem::path folder_;
  std::int64_t keep_;
};

}  // namespace rahf::train
