#include "rahf/reward/model/baselines.h"

namespace rahf::reward {
namespace {

Words same_for_all_words(const Prompts& prompts, double value) {
  auto words = lay_out_words(prompts, torch::kCPU);
  words.misaligned = words.mask.to(torch::kFloat) * value;
  return words;
}

}  // namespace

Judgement ConstantReward::judge(const torch::Tensor& images, const Prompts& prompts,
                                const Ask& ask) {
  check_pictures("ConstantReward::judge", images, prompts, device());
  Judgement judgement;
  if (ask.scores) {
    judgement.scores =
        torch::tensor(std::vector<double>(options_.scores.begin(), options_.scores.end()),
                      images.options())
            .expand({images.size(0), -1});  // [B, 4]
  }
  if (ask.maps) {
    const auto map = [&](double heat) {
      return torch::full({images.size(0), images.size(2), images.size(3)}, heat, images.options());
    };
    judgement.implausibility = map(options_.heat[0]);
    judgement.misalignment = map(options_.heat[1]);
  }
  if (ask.words) judgement.words = same_for_all_words(prompts, options_.misaligned);
  return judgement;
}

std::vector<std::string> ConstantReward::score_names() const {
  return {kScoreNames.begin(), kScoreNames.end()};
}

Judgement ColouredPixelsReward::judge(const torch::Tensor& images, const Prompts& prompts,
                                      const Ask& ask) {
  check_pictures("ColouredPixelsReward::judge", images, prompts, device());
  Judgement judgement;
  if (ask.maps) {
    const auto levels = (images * 255).round().to(torch::kLong).flatten(2);  // [B, 3, H * W]
    const auto codes =
        levels.select(1, 0) * 65536 + levels.select(1, 1) * 256 + levels.select(1, 2);
    const auto background = std::get<0>(codes.mode(1, /*keepdim=*/true));  // [B, 1]
    const auto place = std::get<1>((codes == background).to(torch::kByte).max(1, /*keepdim=*/true));
    const auto colour =
        images.flatten(2).gather(2, place.unsqueeze(1).expand({-1, 3, -1}));  // [B, 3, 1]
    judgement.implausibility = ((images.flatten(2) - colour).abs().amax(1) > threshold_)
                                   .to(torch::kFloat)
                                   .view({images.size(0), images.size(2), images.size(3)});
    judgement.misalignment = judgement.implausibility;
  }
  if (ask.words) judgement.words = same_for_all_words(prompts, 1);
  return judgement;
}

}  // namespace rahf::reward
