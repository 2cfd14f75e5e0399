#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "rahf/core/reward.h"

namespace rahf::reward {

/// A reward in any language: a shell command that judges a folder of pictures. Not differentiable;
/// gives scores alone. Each call writes a folder of its own and starts the command once:
///
///     COMMAND FOLDER
///
/// FOLDER holds 000000.png, ... and pictures.csv (columns picture, prompt). The command prints a
/// line per picture, in order, with a number per score, separated by spaces or commas, and ends
/// with status 0.
///
/// Folder of the reward: config.json with "architecture": "Command", "command", "scores": [names].
/// The command starts in that folder.
class CommandReward : public Reward {
 public:
  struct Options {
    std::string command;
    std::vector<std::string> scores;
    std::filesystem::path directory = ".";  ///< Where the command starts.
  };
  /// @throws ConfigError if there is no command, or no name of a score.
  explicit CommandReward(Options options);

  /// @throws Error naming the command if it fails, or prints something else.
  Judgement judge(const torch::Tensor& images, const Prompts& prompts,
                  const Ask& ask = {}) override;
  torch::Device device() const override { return device_; }
  std::vector<std::string> score_names() const override { return options_.scores; }
  bool differentiable() const override { return false; }
  void to(torch::Device device) { device_ = device; }

 private:
  Options options_;
  torch::Device device_ = torch::kCPU;
};

}  // namespace rahf::reward
