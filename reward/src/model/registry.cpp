#include "rahf/reward/model/registry.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/reward/model/clip_score.h"
#include "rahf/reward/model/colour_reward.h"
#include "rahf/reward/model/command_reward.h"
#include "rahf/reward/model/rahf.h"
#include "rahf/reward/model/torchscript_reward.h"

namespace rahf::reward {
namespace {

using Folder = std::filesystem::path;
using Config = nlohmann::json;

std::unique_ptr<Reward> load_rahf(const Folder& folder, const Config&, torch::Device device) {
  return RahfReward::load(folder, device);
}

std::unique_ptr<Reward> load_clip(const Folder& folder, const Config&, torch::Device device) {
  return ClipScoreReward::load(folder, device);
}

std::unique_ptr<Reward> load_colour(const Folder&, const Config& config, torch::Device device) {
  auto reward = std::make_unique<ColourReward>(
      ColourReward::Options{.score = config.value("score", "colour"),
                            .colour = config.at("colour").get<std::vector<double>>(),
                            .width = config.value("width", 0.5)});
  reward->to(device);
  return reward;
}

std::unique_ptr<Reward> load_command(const Folder& folder, const Config& config,
                                     torch::Device device) {
  auto reward = std::make_unique<CommandReward>(
      CommandReward::Options{.command = config.at("command").get<std::string>(),
                             .scores = config.at("scores").get<std::vector<std::string>>(),
                             .directory = folder});
  reward->to(device);
  return reward;
}

std::unique_ptr<Reward> load_script(const Folder& folder, const Config& config,
                                    torch::Device device) {
  return std::make_unique<TorchScriptReward>(
      TorchScriptReward::Options{.file = folder / config.at("file").get<std::string>(),
                                 .scores = config.at("scores").get<std::vector<std::string>>(),
                                 .prompts = config.value("prompts", false),
                                 .input_size = config.value("input_size", std::int64_t{0})},
      device);
}

}  // namespace

const std::vector<RewardKind>& reward_kinds() {
  static const std::vector<RewardKind> kinds = {{"RahfModel", load_rahf},
                                                {"clip", load_clip},
                                                {"ColourShare", load_colour},
                                                {"Command", load_command},
                                                {"TorchScript", load_script}};
  return kinds;
}

std::unique_ptr<Reward> load_reward(const std::filesystem::path& folder, torch::Device device) {
  const auto file = (folder / "config.json").string();
  try {
    const auto config = Config::parse(io::read_file(file));
    std::string architecture;
    if (config.is_object()) {
      architecture = config.value("architecture", config.value("model_type", std::string()));
    }
    std::string names;
    for (const auto& kind : reward_kinds()) {
      if (kind.architecture == architecture) return kind.load(folder, config, device);
      names += (names.empty() ? "" : ", ") + std::string(kind.architecture);
    }
    throw CheckpointError(file + ": architecture must be one of " + names + ", got '" +
                          architecture + "'");
  } catch (const nlohmann::json::parse_error& error) {
    throw CheckpointError(file + ": not JSON: " + error.what());
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError(file + ": " + error.what());
  }
}

}  // namespace rahf::reward
