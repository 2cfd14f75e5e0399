#pragma once

#include <filesystem>
#include <memory>

#include "rahf/core/nn/clip.h"
#include "rahf/core/reward.h"
#include "rahf/core/text/clip_tokenizer.h"

namespace rahf::reward {

/// CLIPScore (Hessel et al. 2021, arXiv 2104.08718) as a reward: how near picture and prompt are in
/// the space that a CLIP model gives both,
///
///     alignment = max(cos(image, text), 0)
///
/// without the paper's constant factor 2.5, which ranks nothing differently and would leave [0, 1].
/// Gives no maps and no words. What a prompt has beyond the tokenizer's length is not read. Holds
/// the model in eval(); differentiable in the pictures.
class ClipScoreReward : public Reward {
 public:
  /// @throws ConfigError if the model has not the positions or the rows that the tokenizer needs.
  ClipScoreReward(nn::Clip model, text::ClipTokenizer tokenizer);

  /// Reads a folder as Hugging Face keeps a CLIPModel: config.json, model.safetensors, tokenizer.
  /// @throws FileError, ConfigError or CheckpointError naming what does not fit.
  static std::unique_ptr<ClipScoreReward> load(const std::filesystem::path& folder,
                                               torch::Device device = torch::kCPU);

  Judgement judge(const torch::Tensor& images, const Prompts& prompts,
                  const Ask& ask = {}) override;
  std::vector<std::string> score_names() const override { return {"alignment"}; }
  torch::Device device() const override;
  std::int64_t input_size() const override { return model_->options().vision_config.image_size; }
  bool differentiable() const override { return true; }

 private:
  nn::Clip model_;
  text::ClipTokenizer tokenizer_;
};

}  // namespace rahf::reward
