#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rahf/core/nn/t5.h"
#include "rahf/core/nn/vit.h"
#include "rahf/core/reward.h"
#include "rahf/reward/model/heads.h"
#include "rahf/reward/model/prompt_codec.h"

namespace rahf::reward {

/// How one network gives seven outputs (the paper's two variants).
enum class Variant {
  kMultiHead,        ///< One sequence; four score heads, two heatmap heads.
  kAugmentedPrompt,  ///< One head per kind; a task string before the prompt selects the output.
};

/// Which encoder states the text decoder may look at.
enum class DecoderContext {
  kAll,   ///< Picture and text, as the paper's Figure 3.
  kText,  ///< Text positions alone, as the first author's version.
};

/// Sizes and structure of RAHF. The defaults are the paper's ViT-B/16 and T5-base.
struct RahfOptions {
  Variant variant = Variant::kAugmentedPrompt;
  DecoderContext decoder_context = DecoderContext::kText;
  double position_amplitude = 0;  ///< > 0 starts ViT's positions as 2-D sines and cosines of that
                                  ///< amplitude; 0 as Hugging Face does (normal, sd .02).
  double image_mean = 0.5;        ///< ViT sees (pixel - image_mean) / image_std. Where pictures
  double image_std = 0.5;         ///< share a background, its grey keeps it from drowning the rest.
  nn::ViTOptions vit;
  nn::T5Options t5;
  HeatmapHeadOptions heatmap;
  ScoreHeadOptions score;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("variant", self.variant, "one head per output, or a task string before the prompt");
    visit("decoder_context", self.decoder_context, "encoder states that the text decoder sees");
    visit("position_amplitude", self.position_amplitude,
          "start of ViT's positions: sines of this amplitude; 0 starts small; >= 0");
    visit("image_mean", self.image_mean, "ViT sees (pixel - image_mean) / image_std; in [0, 1]");
    visit("image_std", self.image_std, "see image_mean; > 0");
    visit("vit", self.vit, "");
    visit("t5", self.t5, "");
    visit("heatmap", self.heatmap, "");
    visit("score", self.score, "");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// What the joint encoder makes of pictures and texts.
struct Encoded {
  torch::Tensor features;  ///< [B, D, g, g]   picture positions on their grid, without CLS
  torch::Tensor context;   ///< [B, M, D]      states that the decoder sees
  torch::Tensor mask;      ///< [B, M] bool    true where a state counts
};

/// The network of RAHF:
///
///     picture -> ViT -> linear ─┐
///                               ├─ T5 encoder ─ picture positions -> heatmap and score heads
///     prompt -> embedding ──────┘            └─ states -> T5 decoder -> prompt with marks
///
/// Every method keeps the gradient to parameters and pictures. Nothing is random but dropout.
class RahfModelImpl : public torch::nn::Cloneable<RahfModelImpl> {
 public:
  /// @throws ConfigError if `options` do not validate.
  explicit RahfModelImpl(RahfOptions options = {});
  void reset() override;

  /// @param images  [B, 3, H, W] f32  RGB in [0, 1]; resized to the ViT's size if they differ
  /// @return        [B, 1 + g * g, D]  CLS first, as wide as the T5 encoder
  torch::Tensor image_tokens(const torch::Tensor& images);

  /// @param image_tokens  [B, 1 + g * g, D]
  /// @param text          B sequences
  Encoded encode(const torch::Tensor& image_tokens, const TokenBatch& text);

  /// @param kind  index into kScoreNames; the augmented-prompt variant has one head for all
  /// @return      [B] f32 logits
  torch::Tensor score_logits(const torch::Tensor& features, std::int64_t kind);

  /// @param kind  index into kMapNames; the augmented-prompt variant has one head for all
  /// @return      [B, S, S] f32 logits, S the ViT's picture size
  torch::Tensor map_logits(const torch::Tensor& features, std::int64_t kind);

  /// Teacher-forced: what the decoder expects at each position of `target`.
  /// @param target  [B, M] i64  without a start id, which is put before it here
  /// @return        [B, M, V] f32 logits
  torch::Tensor token_logits(const Encoded& encoded, const torch::Tensor& target);

  /// @return [B, 1 + n] i64, n <= max_new_tokens: the start id, then what was written
  torch::Tensor greedy(const Encoded& encoded, std::int64_t max_new_tokens);

  /// Recompute activations in the backward pass instead of keeping them: less memory, same
  /// gradients.
  void set_gradient_checkpointing(bool on);

  /// Take the weights of a Hugging Face folder with a ViT or a T5 of the same sizes.
  /// @throws CheckpointError listing what does not fit.
  void load_vit(const std::filesystem::path& folder);
  void load_t5(const std::filesystem::path& folder);

  const RahfOptions& options() const { return options_; }

 private:
  RahfOptions options_;
  nn::ViT vit_{nullptr};
  nn::T5 t5_{nullptr};
  torch::nn::Linear visual_token_projection_{nullptr};
  torch::nn::ModuleList scores_{nullptr}, heatmaps_{nullptr};
};
TORCH_MODULE(RahfModel);

/// The task string that selects an output in the augmented-prompt variant, for example
/// `<output> HEATMAP: implausibility </output>`. @param kind  "HEATMAP" or "SCORE"
std::string task_string(std::string_view kind, std::string_view name);

/// P(misaligned) at the end of every word, by one teacher-forced pass over the plain prompt.
/// @param sequences  B of them
/// @return           [B, W] f32 logits, W the largest number of words; entries past a prompt's last
///                   word mean nothing
torch::Tensor word_logits(RahfModelImpl& model, const PromptCodec& codec, const Encoded& encoded,
                          const std::vector<PlainSequence>& sequences);

/// RAHF as a reward. Holds the network in eval(); judging any picture size works, but pictures are
/// best given at input_size(), resized as the training pictures were. Pictures are f32 whatever
/// element type the network has, f64 apart: then they are f64 too.
class RahfReward : public Reward {
 public:
  RahfReward(RahfModel model, std::shared_ptr<const text::Tokenizer> tokenizer);

  /// Reads a model folder: config.json, model.safetensors, tokenizer files.
  /// @throws CheckpointError if something is missing or does not fit.
  static std::unique_ptr<RahfReward> load(const std::filesystem::path& folder,
                                          torch::Device device = torch::kCPU);

  Judgement judge(const torch::Tensor& images, const Prompts& prompts,
                  const Ask& ask = {}) override;
  std::vector<std::string> score_names() const override;
  bool differentiable() const override { return true; }
  torch::Device device() const override;
  std::int64_t input_size() const override { return model_->options().vit.image_size; }

  RahfModelImpl& model() { return *model_; }
  const PromptCodec& codec() const { return codec_; }

 private:
  /// The flags that greedy decoding sets: [B, W] bool.
  torch::Tensor write_words(const Encoded& encoded, const Words& words);

  RahfModel model_;
  PromptCodec codec_;
};

/// Writes a model folder that RahfReward::load() reads; parameters in `dtype`.
/// @param note  goes into the metadata of model.safetensors ("command", "seed", ...)
void save_rahf(const std::filesystem::path& folder, RahfModelImpl& model,
               const text::Tokenizer& tokenizer, const std::map<std::string, std::string>& note,
               torch::Dtype dtype = torch::kFloat);

/// Reads the network of a model folder. @throws CheckpointError
RahfModel load_rahf_model(const std::filesystem::path& folder);

}  // namespace rahf::reward

template <>
struct rahf::EnumNames<rahf::reward::Variant> {
  static constexpr std::array<std::pair<rahf::reward::Variant, std::string_view>, 2> value = {
      {{rahf::reward::Variant::kMultiHead, "multi-head"},
       {rahf::reward::Variant::kAugmentedPrompt, "augmented-prompt"}}};
};
template <>
struct rahf::EnumNames<rahf::reward::DecoderContext> {
  static constexpr std::array<std::pair<rahf::reward::DecoderContext, std::string_view>, 2> value =
      {{{rahf::reward::DecoderContext::kAll, "all"},
        {rahf::reward::DecoderContext::kText, "text"}}};
};
