#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "rahf/core/reward.h"

namespace rahf::reward {

/// A reward that somebody trained elsewhere: a TorchScript module whose forward takes pictures
/// [B, 3, H, W] f32 RGB in [0, 1], and the prompts as a list of strings where `prompts` says so,
/// and gives scores [B, K] f32. Differentiable if the module is. Gives scores alone.
///
/// Folder: config.json with "architecture": "TorchScript", "file", "scores": [names], and
/// optionally "prompts": true and "input_size".
class TorchScriptReward : public Reward {
 public:
  struct Options {
    std::filesystem::path file;
    std::vector<std::string> scores;
    bool prompts = false;
    std::int64_t input_size =
        0;  ///< Pixels that pictures are resized to; 0 takes them as they are.
  };
  /// @throws CheckpointError if the file is no TorchScript module.
  TorchScriptReward(Options options, torch::Device device);
  ~TorchScriptReward() override;

  Judgement judge(const torch::Tensor& images, const Prompts& prompts,
                  const Ask& ask = {}) override;
  torch::Device device() const override { return device_; }
  std::int64_t input_size() const override { return options_.input_size; }
  std::vector<std::string> score_names() const override { return options_.scores; }
  bool differentiable() const override { return true; }

 private:
  struct Module;
  Options options_;
  torch::Device device_;
  std::unique_ptr<Module> module_;
};

}  // namespace rahf::reward
