#pragma once

#include <torch/types.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>
#include <vector>

#include "rahf/core/reward.h"

namespace rahf::reward {

/// A kind of reward that model folders may hold.
struct RewardKind {
  std::string_view architecture;  ///< As in the folder's config.json.
  std::unique_ptr<Reward> (*load)(const std::filesystem::path& folder, const nlohmann::json& config,
                                  torch::Device device);  ///< `config` is the folder's config.json.
};

/// All of them.
const std::vector<RewardKind>& reward_kinds();

/// Loads the reward whose model folder this is, by the `architecture` in its config.json, or by the
/// `model_type` of Hugging Face's (`clip`: CLIPScore).
/// @throws CheckpointError if the folder holds no known reward, or its weights do not fit.
std::unique_ptr<Reward> load_reward(const std::filesystem::path& folder,
                                    torch::Device device = torch::kCPU);

}  // namespace rahf::reward
