#include "rahf/rl/steering/keyword_guidance.h"

#include <ATen/core/grad_mode.h>

#include <string>
#include <vector>

#include "rahf/core/error.h"

namespace rahf::rl {
namespace {

// [B, W] P(misaligned), and its mean over the words of each prompt, [B].
std::pair<Words, torch::Tensor> missed(Reward& reward, const torch::Tensor& images,
                                       const Prompts& prompts) {
  auto judgement = reward.judge(images.to(reward.device()), prompts,
                                {.scores = false, .maps = false, .words = true});
  std::vector<std::string> names;
  for (const auto& prompt : prompts) names.push_back('"' + prompt.text + '"');
  check_judgement("keyword_guidance", judgement, names, reward.score_names());
  if (!judgement.words.misaligned.defined()) {
    throw ConfigError("keyword_guidance: the reward judges no words");
  }
  const auto share =
      1 - weighting::keyword_reward(judgement.words.misaligned, judgement.words.mask);
  return {std::move(judgement.words), share};
}

Prompts insist(const Prompts& prompts, const torch::Tensor& misaligned,
               const KeywordGuidanceOptions& options) {
  switch (options.way) {
    case KeywordWay::kEmphasise:
      return weighting::emphasise_missed(prompts, misaligned, options.keywords);
    case KeywordWay::kRepeat:
      return weighting::repeat_missed(prompts, misaligned, options.keywords);
    case KeywordWay::kResample:
      return prompts;
  }
  TORCH_INTERNAL_ASSERT(false);
}

}  // namespace

void KeywordGuidanceOptions::validate() const { keywords.validate(); }

KeywordGuidance keyword_guidance(Generator& generator, Reward& reward, const Prompts& prompts,
                                 const SampleOptions& sampling,
                                 const KeywordGuidanceOptions& options, const Draws& draws) {
  options.validate();
  const torch::NoGradGuard no_grad;
  KeywordGuidance result;
  result.prompts = prompts;
  result.first = generator.sample(prompts, sampling, draws).images;
  result.second = result.first.clone();
  const auto [words, before] = missed(reward, result.first, prompts);
  result.missed_before = before;

  const auto insisting = insist(prompts, words.misaligned, options);
  const auto any = ((words.misaligned >= options.keywords.threshold) & words.mask)
                       .any(1)
                       .to(torch::kCPU)
                       .contiguous();
  // One at a time, so that each has its own number: a picture does not depend on the others.
  const Draws again =
      options.same_start
          ? draws
          : Draws{.random = Randomness(draws.random.key("second sample", 0)), .first = draws.first};
  for (std::int64_t b = 0; b < std::ssize(prompts); ++b) {
    if (!any.data_ptr<bool>()[b]) continue;
    const auto i = static_cast<std::size_t>(b);
    result.prompts[i] = insisting[i];
    const Draws own{.random = again.random, .first = again.first + b};
    result.second[b].copy_(generator.sample({insisting[i]}, sampling, own).images[0]);
  }

  const auto after = missed(reward, result.second, prompts).second;
  const auto better = options.keep_better ? after < before : torch::ones_like(after, torch::kBool);
  result.images = torch::where(better.to(result.first.device()).view({-1, 1, 1, 1}), result.second,
                               result.first);
  result.missed_after = torch::where(better, after, before);
  return result;
}

}  // namespace rahf::rl
