#include "rahf/reward/model/clip_score.h"

#include <string>
#include <utility>
#include <vector>

#include "rahf/core/nn/clip_folder.h"

namespace rahf::reward {

ClipScoreReward::ClipScoreReward(nn::Clip model, text::ClipTokenizer tokenizer)
    : model_(std::move(model)), tokenizer_(std::move(tokenizer)) {
  const auto& text = model_->options().text_config;
  if (text.max_position_embeddings < tokenizer_.length() ||
      text.vocab_size < tokenizer_.vocab_size()) {
    throw ConfigError("ClipScoreReward: the model must have " +
                      std::to_string(tokenizer_.length()) + " positions and " +
                      std::to_string(tokenizer_.vocab_size()) + " rows for its tokenizer, got " +
                      std::to_string(text.max_position_embeddings) + " and " +
                      std::to_string(text.vocab_size));
  }
  model_->eval();
  for (auto& parameter : model_->parameters()) parameter.requires_grad_(false);
}

std::unique_ptr<ClipScoreReward> ClipScoreReward::load(const std::filesystem::path& folder,
                                                       torch::Device device) {
  auto model = nn::load_clip(folder);
  model->to(device);
  return std::make_unique<ClipScoreReward>(std::move(model), text::ClipTokenizer::load(folder));
}

torch::Device ClipScoreReward::device() const { return model_->parameters().front().device(); }

Judgement ClipScoreReward::judge(const torch::Tensor& images, const Prompts& prompts,
                                 const Ask& ask) {
  check_pictures("ClipScoreReward::judge", images, prompts, device());
  Judgement judgement;
  if (!ask.scores) return judgement;
  std::vector<torch::Tensor> ids;
  for (const auto& prompt : prompts)
    ids.push_back(torch::tensor(tokenizer_.padded(prompt.text).ids));
  const auto texts = model_->encode_text(torch::stack(ids).to(images.device()));
  const auto pictures = model_->encode_images(nn::clip_pixels(images, input_size()));
  judgement.scores =
      torch::cosine_similarity(pictures, texts).clamp(0, 1).to(torch::kFloat).unsqueeze(1);
  return judgement;
}

}  // namespace rahf::reward
