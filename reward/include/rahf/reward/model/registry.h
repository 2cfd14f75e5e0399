#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>

#include "rahf/core/reward.h"

namespace rahf::reward {

/// Loads the reward whose model folder this is, by the `architecture` in its config.json.
/// @throws CheckpointError if the folder holds no known reward, or its weights do not fit.
std::unique_ptr<Reward> load_reward(const std::filesystem::path& folder,
                                    torch::Device device = torch::kCPU);

}  // namespace rahf::reward
