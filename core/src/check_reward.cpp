#include "rahf/core/check_reward.h"

#include <c10/util/StringUtil.h>

#include <algorithm>

#include "rahf/core/error.h"

namespace rahf {

CheckReward::CheckReward(Reward& reward, Reward& reference, double tolerance)
    : reward_(reward), reference_(reference), tolerance_(tolerance) {
  if (!(tolerance >= 0)) {
    throw ConfigError(c10::str("CheckReward: tolerance must be >= 0, got ", tolerance));
  }
  if (reward.score_names() != reference.score_names()) {
    throw ConfigError("CheckReward: both rewards must name the same scores");
  }
}

Judgement CheckReward::judge(const torch::Tensor& images, const Prompts& prompts, const Ask& ask) {
  auto judgement = reward_.judge(images, prompts, ask);
  const torch::NoGradGuard no_grad;
  const auto expected = reference_.judge(images.detach().to(reference_.device()), prompts, ask);
  compare("scores", judgement.scores, expected.scores);
  compare("implausibility", judgement.implausibility, expected.implausibility);
  compare("misalignment", judgement.misalignment, expected.misalignment);
  compare("words.misaligned", judgement.words.misaligned, expected.words.misaligned);
  compare("written", judgement.written, expected.written);
  return judgement;
}

void CheckReward::compare(const char* output, const torch::Tensor& got,
                          const torch::Tensor& expected) {
  if (got.defined() != expected.defined()) {
    throw Error(c10::str("CheckReward: ", output, " must be given by both rewards or by neither"));
  }
  if (!got.defined()) return;
  if (got.sizes() != expected.sizes()) {
    throw ShapeError(c10::str("CheckReward: ", output, " must be ", expected.sizes(),
                              " as the reference's, got ", got.sizes()));
  }
  if (got.numel() == 0) return;
  const auto flat = [](const torch::Tensor& values) {
    return values.detach().to(torch::kCPU, torch::kDouble).flatten(1);
  };
  const auto ours = flat(got), theirs = flat(expected);  // [B, n]
  const auto difference = (ours - theirs).abs();
  const auto place = difference.argmax().item<std::int64_t>();  // NaN is the largest
  const auto most = difference.flatten()[place].item<double>();
  largest_ = std::max(largest_, most);
  if (most <= tolerance_) return;
  throw Error(c10::str("CheckReward: ", output, " must be within ", tolerance_,
                       " of the reference's ", theirs.flatten()[place].item<double>(), ", got ",
                       ours.flatten()[place].item<double>(), " for picture ",
                       place / ours.size(1)));
}

}  // namespace rahf
