#include "rahf/reward/weighting/keywords.h"

#include <ATen/core/grad_mode.h>

#include <string_view>

#include "rahf/core/error.h"
#include "rahf/core/shapes.h"
#include "rahf/core/words.h"

namespace rahf::weighting {
namespace {

// Which words of each prompt are missed.
std::vector<std::vector<bool>> missed_words(std::string_view where, const Prompts& prompts,
                                            const torch::Tensor& misaligned, double threshold) {
  Shapes(where).check("misaligned", misaligned, {std::ssize(prompts), "W"});
  const auto host = misaligned.detach().to(torch::kCPU, torch::kFloat).contiguous();
  const auto* value = host.data_ptr<float>();
  std::vector<std::vector<bool>> all;
  for (std::size_t b = 0; b < prompts.size(); ++b) {
    const auto words = static_cast<std::int64_t>(split_words(prompts[b].text).size());
    if (words > host.size(1)) {
      throw ShapeError(std::string(where) + ": misaligned has " + std::to_string(host.size(1)) +
                       " words, prompt " + std::to_string(b) + " has " + std::to_string(words));
    }
    auto& flags = all.emplace_back();
    for (std::int64_t w = 0; w < words; ++w) {
      flags.push_back(value[static_cast<std::int64_t>(b) * host.size(1) + w] >= threshold);
    }
  }
  return all;
}

}  // namespace

void KeywordOptions::validate() const {
  if (!(strength >= 0)) {
    throw ConfigError("KeywordOptions.strength = " + option_text::write(strength) +
                      ", must be >= 0");
  }
  if (!(threshold >= 0 && threshold <= 1)) {
    throw ConfigError("KeywordOptions.threshold = " + option_text::write(threshold) +
                      ", must be in [0, 1]");
  }
}

Prompts emphasise_missed(const Prompts& prompts, const torch::Tensor& misaligned,
                         const KeywordOptions& options) {
  options.validate();
  const auto missed = missed_words("emphasise_missed", prompts, misaligned, options.threshold);
  auto emphasised = prompts;
  if (options.strength == 0) return emphasised;
  for (std::size_t b = 0; b < prompts.size(); ++b) {
    auto& weights = emphasised[b].word_weights;
    if (weights.empty()) weights.assign(missed[b].size(), 1.F);
    if (weights.size() != missed[b].size()) {
      throw ShapeError("emphasise_missed: prompt " + std::to_string(b) + " has " +
                       std::to_string(missed[b].size()) + " words, but " +
                       std::to_string(weights.size()) + " word_weights");
    }
    for (std::size_t w = 0; w < weights.size(); ++w) {
      if (missed[b][w]) weights[w] *= static_cast<float>(1 + options.strength);
    }
  }
  return emphasised;
}

Prompts repeat_missed(const Prompts& prompts, const torch::Tensor& misaligned,
                      const KeywordOptions& options) {
  options.validate();
  const auto missed = missed_words("repeat_missed", prompts, misaligned, options.threshold);
  auto rewritten = prompts;
  for (std::size_t b = 0; b < prompts.size(); ++b) {
    const auto words = split_words(prompts[b].text);
    auto& prompt = rewritten[b];
    for (std::size_t w = 0; w < words.size(); ++w) {
      if (!missed[b][w]) continue;
      prompt.text += w > 0 && missed[b][w - 1] ? " " : ", ";
      prompt.text += words[w];
      if (!prompt.word_weights.empty()) prompt.word_weights.push_back(prompts[b].word_weights[w]);
    }
  }
  return rewritten;
}

torch::Tensor keyword_reward(const torch::Tensor& misaligned, const torch::Tensor& mask) {
  Shapes shapes("keyword_reward");
  shapes.check("misaligned", misaligned, {"B", "W"});
  shapes.check("mask", mask, {"B", "W"}, torch::kBool);
  const auto missed = misaligned.masked_fill(~mask, 0).sum(1);
  return 1 - missed / mask.sum(1).clamp_min(1);
}

PromptCurriculum::PromptCurriculum(std::int64_t prompts, double strength, double memory)
    : strength_(strength), memory_(memory), missed_(torch::zeros({prompts})) {
  if (prompts < 1) throw ConfigError("PromptCurriculum: there must be a prompt");
  if (!(strength >= 0)) throw ConfigError("PromptCurriculum: strength must be >= 0");
  if (!(memory >= 0 && memory < 1)) throw ConfigError("PromptCurriculum: memory must be in [0, 1)");
}

void PromptCurriculum::observe(const torch::Tensor& rows, const torch::Tensor& missed) {
  Shapes shapes("PromptCurriculum::observe");
  shapes.check("rows", rows, {"R"}, torch::kLong);
  shapes.check("missed", missed, {"R"});
  const auto index = rows.to(torch::kCPU).contiguous();
  const auto value = missed.detach().to(torch::kCPU, torch::kFloat).contiguous();
  auto* state = missed_.data_ptr<float>();
  for (std::int64_t i = 0; i < index.numel(); ++i) {
    const auto row = index.data_ptr<std::int64_t>()[i];
    if (row < 0 || row >= missed_.numel()) {
      throw ShapeError("PromptCurriculum::observe: rows must be in [0, " +
                       std::to_string(missed_.numel()) + "), got " + std::to_string(row));
    }
    state[row] =
        static_cast<float>(memory_ * state[row] + (1 - memory_) * value.data_ptr<float>()[i]);
  }
}

torch::Tensor PromptCurriculum::probabilities() const {
  const auto weight = 1 + strength_ * missed_;
  return weight / weight.sum();
}

void PromptCurriculum::load_state(const torch::Tensor& state) {
  Shapes("PromptCurriculum::load_state").check("state", state, {missed_.numel()}, torch::kFloat);
  missed_ = state.detach().to(torch::kCPU).clone();
}

}  // namespace rahf::weighting
