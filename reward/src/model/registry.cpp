#include "rahf/reward/model/registry.h"

#include <nlohmann/json.hpp>
#include <string>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/reward/model/rahf.h"

namespace rahf::reward {

const std::vector<RewardKind>& reward_kinds() {
  static const std::vector<RewardKind> kinds = {
      {"RahfModel",
       [](const std::filesystem::path& folder, torch::Device device) -> std::unique_ptr<Reward> {
         return RahfReward::load(folder, device);
       }},
  };
  return kinds;
}

std::unique_ptr<Reward> load_reward(const std::filesystem::path& folder, torch::Device device) {
  const auto file = folder / "config.json";
  const auto config = nlohmann::json::parse(io::read_file(file), nullptr, false);
  if (config.is_discarded()) throw CheckpointError(file.string() + ": not JSON");
  std::string architecture;
  if (config.is_object() && config.contains("architecture") && config["architecture"].is_string()) {
    architecture = config["architecture"];
  }
  std::string known;
  for (const auto& kind : reward_kinds()) {
    if (kind.architecture == architecture) return kind.load(folder, device);
    known += (known.empty() ? "" : " or ") + std::string(kind.architecture);
  }
  throw CheckpointError(file.string() + ": architecture must be " + known + ", got '" +
                        architecture + "'");
}

}  // namespace rahf::reward
