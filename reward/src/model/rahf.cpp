#include "rahf/reward/model/rahf.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "rahf/core/io/resize.h"
#include "rahf/core/prompt_error.h"
#include "rahf/core/shapes.h"
#include "rahf/core/utf8.h"
#include "rahf/core/words.h"

namespace rahf::reward {
namespace {

// Most tokens of a prompt, task string included: what T5 was trained with. Memory grows with their
// square.
constexpr std::int64_t kMaxTokens = 512;

// Fixed sines and cosines of row and column: half of the channels for each.
torch::Tensor sine_positions(std::int64_t grid, std::int64_t width, double amplitude) {
  const auto quarter = width / 4;
  const auto steps = torch::arange(grid, torch::kDouble);  // [g]
  const auto rates = torch::pow(
      10.0, -torch::arange(quarter, torch::kDouble) / static_cast<double>(quarter));  // [D/4]
  const auto angles = steps.unsqueeze(1) * rates.unsqueeze(0);                        // [g, D/4]
  const auto waves = torch::cat({angles.sin(), angles.cos()}, 1);                     // [g, D/2]
  const auto rows = waves.unsqueeze(1).expand({grid, grid, -1});
  const auto columns = waves.unsqueeze(0).expand({grid, grid, -1});
  return amplitude * torch::cat({rows, columns}, 2).reshape({grid * grid, -1}).to(torch::kFloat);
}

}  // namespace

void RahfOptions::validate() const {
  vit.validate();
  t5.validate();
  heatmap.validate("heatmap");
  score.validate("score");
  if (!(position_amplitude >= 0)) {
    throw ConfigError("RahfOptions.position_amplitude = " + option_text::write(position_amplitude) +
                      ", must be >= 0");
  }
  if (position_amplitude > 0 && vit.width % 4 != 0) {
    throw ConfigError("RahfOptions.vit.width = " + std::to_string(vit.width) +
                      ", must be a multiple of 4 with position_amplitude");
  }
  if (!(image_mean >= 0 && image_mean <= 1)) {
    throw ConfigError("RahfOptions.image_mean = " + option_text::write(image_mean) +
                      ", must be in [0, 1]");
  }
  if (!(image_std > 0)) {
    throw ConfigError("RahfOptions.image_std = " + option_text::write(image_std) + ", must be > 0");
  }
  const auto doublings = static_cast<std::int64_t>(heatmap.stages.size());
  if (vit.patch_size != std::int64_t{1} << doublings) {
    throw ConfigError("RahfOptions.heatmap.stages: " + std::to_string(doublings) +
                      " doublings must undo patches of " + std::to_string(vit.patch_size) +
                      " pixels");
  }
}

RahfModelImpl::RahfModelImpl(RahfOptions options) : options_(std::move(options)) {
  options_.validate();
  reset();
}

void RahfModelImpl::reset() {
  const auto width = options_.t5.d_model;
  const auto grid = options_.vit.image_size / options_.vit.patch_size;
  vit_ = register_module("vit", nn::ViT(options_.vit));
  visual_token_projection_ =
      register_module("visual_token_projection", torch::nn::Linear(options_.vit.width, width));
  t5_ = register_module("t5", nn::T5(options_.t5));
  scores_ = register_module("score_predictor", torch::nn::ModuleList());
  heatmaps_ = register_module("heatmap_predictor", torch::nn::ModuleList());
  const bool one_head = options_.variant == Variant::kAugmentedPrompt;
  for (std::size_t i = 0; i < (one_head ? 1 : kScoreNames.size()); ++i) {
    scores_->push_back(ScoreHead(width, grid, options_.score));
  }
  for (std::size_t i = 0; i < (one_head ? 1 : kMapNames.size()); ++i) {
    heatmaps_->push_back(HeatmapHead(width, options_.heatmap));
  }
  if (options_.position_amplitude > 0) {
    const torch::NoGradGuard no_grad;
    vit_->named_parameters()["embeddings.position_embeddings"].slice(1, 1).copy_(
        sine_positions(grid, options_.vit.width, options_.position_amplitude));
  }
}

torch::Tensor RahfModelImpl::image_tokens(const torch::Tensor& images) {
  Shapes("RahfModel::image_tokens").check("images", images, {"B", 3, "H", "W"});
  const auto size = options_.vit.image_size;
  const auto fitting =
      images.size(2) == size && images.size(3) == size ? images : io::resize(images, size, size);
  const auto states = vit_->forward((fitting - options_.image_mean) / options_.image_std);
  return visual_token_projection_->forward(states);  // [B, 1 + g*g, D]
}

Encoded RahfModelImpl::encode(const torch::Tensor& image_tokens, const TokenBatch& text) {
  const auto grid = options_.vit.image_size / options_.vit.patch_size;
  const auto picture = 1 + grid * grid;
  Shapes shapes("RahfModel::encode");
  shapes.check("image_tokens", image_tokens, {"B", picture, options_.t5.d_model});
  shapes.check("text.ids", text.ids, {"B", "L"}, torch::kLong);
  shapes.check("text.mask", text.mask, {"B", "L"}, torch::kBool);

  const auto words = t5_->embed(text.ids);  // [B, L, D]
  const auto sequence = torch::cat({image_tokens, words.to(image_tokens.dtype())}, 1);
  const auto all = torch::ones({text.mask.size(0), picture}, text.mask.options());
  const auto mask = torch::cat({all, text.mask}, 1);  // [B, 1 + g*g + L]
  const auto states = t5_->encode(sequence, mask);    // [B, 1 + g*g + L, D]
  const auto features = states
                            .slice(1, 1, picture)  // [B, g*g, D]
                            .transpose(1, 2)
                            .unflatten(2, {grid, grid});  // [B, D, g, g]
  if (options_.decoder_context == DecoderContext::kAll) return {features, states, mask};
  return {features, states.slice(1, picture), text.mask};
}

torch::Tensor RahfModelImpl::score_logits(const torch::Tensor& features, std::int64_t kind) {
  const auto head = options_.variant == Variant::kAugmentedPrompt ? 0 : kind;
  return scores_->ptr(static_cast<std::size_t>(head))->as<ScoreHeadImpl>()->forward(features);
}

torch::Tensor RahfModelImpl::map_logits(const torch::Tensor& features, std::int64_t kind) {
  const auto head = options_.variant == Variant::kAugmentedPrompt ? 0 : kind;
  return heatmaps_->ptr(static_cast<std::size_t>(head))->as<HeatmapHeadImpl>()->forward(features);
}

torch::Tensor RahfModelImpl::token_logits(const Encoded& encoded, const torch::Tensor& target) {
  Shapes("RahfModel::token_logits").check("target", target, {"B", "M"}, torch::kLong);
  const auto start = torch::zeros({target.size(0), 1}, target.options());
  const auto input = torch::cat({start, target.slice(1, 0, -1)}, 1);
  const auto logits = t5_->decode(input, encoded.context, encoded.mask);
  return logits.to(at::promote_types(logits.scalar_type(), torch::kFloat));
}

torch::Tensor RahfModelImpl::greedy(const Encoded& encoded, std::int64_t max_new_tokens) {
  return nn::greedy(nn::next_logits(*t5_, encoded.context, encoded.mask), encoded.context.size(0),
                    encoded.context.device(), {.max_new_tokens = max_new_tokens});
}

void RahfModelImpl::set_gradient_checkpointing(bool on) {
  vit_->set_gradient_checkpointing(on);
  t5_->set_gradient_checkpointing(on);
}

std::string task_string(std::string_view kind, std::string_view name) {
  return "<output> " + std::string(kind) + ": " + std::string(name) + " </output>";
}

torch::Tensor word_logits(RahfModelImpl& model, const PromptCodec& codec, const Encoded& encoded,
                          const std::vector<PlainSequence>& sequences) {
  std::vector<std::vector<std::int64_t>> ids;
  std::size_t most_words = 0;
  for (const auto& sequence : sequences) {
    ids.push_back(sequence.ids);
    most_words = std::max(most_words, sequence.next_word.size());
  }
  const auto rows = static_cast<std::int64_t>(sequences.size());
  const auto words = static_cast<std::int64_t>(most_words);
  auto ends = torch::zeros({rows, words}, torch::kLong);
  for (std::int64_t b = 0; b < rows; ++b) {
    const auto& next = sequences[static_cast<std::size_t>(b)].next_word;
    std::copy(next.begin(), next.end(), ends.data_ptr<std::int64_t>() + b * words);
  }
  const auto device = encoded.context.device();
  ends = ends.to(device);
  const auto target = codec.pad(ids).ids.to(device);                        // [B, M]
  const auto logits = model.token_logits(encoded, target);                  // [B, M, V]
  const auto suffix = logits.select(2, codec.suffix_id()).gather(1, ends);  // [B, W]
  const auto next = logits.gather(2, target.unsqueeze(2)).squeeze(2).gather(1, ends);
  return suffix - next;
}

RahfReward::RahfReward(RahfModel model, std::shared_ptr<const text::Tokenizer> tokenizer)
    : model_(std::move(model)), codec_(std::move(tokenizer)) {
  model_->eval();
  for (const auto& parameter : model_->parameters()) parameter.set_requires_grad(false);
}

std::vector<std::string> RahfReward::score_names() const {
  return {kScoreNames.begin(), kScoreNames.end()};
}

namespace {

// One text per prompt, each after the task string.
std::vector<std::vector<std::int64_t>> texts(const PromptCodec& codec,
                                             const std::vector<std::vector<std::string>>& words,
                                             const std::string& task) {
  std::vector<std::vector<std::int64_t>> ids;
  for (const auto& one : words) {
    ids.push_back(codec.encoder_ids(one, task));
    if (std::ssize(ids.back()) > kMaxTokens) {
      throw PromptError("RahfReward::judge: a prompt must have at most " +
                        std::to_string(kMaxTokens) + " tokens, got " +
                        std::to_string(ids.back().size()) + " ('" +
                        std::string(utf8_prefix(join_words(one), 40)) + "...')");
    }
  }
  return ids;
}

Encoded rows(const Encoded& encoded, std::int64_t first, std::int64_t count) {
  return {encoded.features.narrow(0, first, count), encoded.context.narrow(0, first, count),
          encoded.mask.narrow(0, first, count)};
}

}  // namespace

torch::Device RahfReward::device() const { return model_->parameters().front().device(); }

Judgement RahfReward::judge(const torch::Tensor& images, const Prompts& prompts, const Ask& ask) {
  const auto dtype = model_->parameters().front().scalar_type();
  check_pictures("RahfReward::judge", images, prompts, device(),
                 at::promote_types(dtype, torch::kFloat));
  const auto batch = images.size(0);
  Judgement judgement;
  if (batch == 0 || !(ask.scores || ask.maps || ask.words || ask.written)) return judgement;
  const bool texts_asked = ask.words || ask.written;
  auto words = lay_out_words(prompts, images.device());
  const bool augmented = model_->options().variant == Variant::kAugmentedPrompt;

  // One encoder pass: the plain prompts and, in the augmented-prompt variant, one text per output.
  auto ids = !augmented || texts_asked ? texts(codec_, words.text, "")
                                       : std::vector<std::vector<std::int64_t>>{};
  const auto add_tasks = [&](const char* kind, const auto& names) {
    for (const auto name : names) {
      const auto more = texts(codec_, words.text, task_string(kind, name));
      ids.insert(ids.end(), more.begin(), more.end());
    }
  };
  if (augmented && ask.scores) add_tasks("SCORE", kScoreNames);
  if (augmented && ask.maps) add_tasks("HEATMAP", kMapNames);
  const auto outputs = static_cast<std::int64_t>(ids.size()) / batch;
  const auto pictures = model_->image_tokens(images.to(dtype));          // [B, 1 + g*g, D]
  const auto encoded = model_->encode(pictures.repeat({outputs, 1, 1}),  // [outputs * B, ...]
                                      codec_.pad(ids).to(images.device()));
  std::int64_t next = augmented && !texts_asked ? 0 : batch;
  const auto features = [&] {
    if (!augmented) return encoded.features;
    next += batch;
    return encoded.features.narrow(0, next - batch, batch);
  };

  if (ask.scores) {
    std::vector<torch::Tensor> scores;
    for (std::size_t k = 0; k < kScoreNames.size(); ++k) {
      scores.push_back(model_->score_logits(features(), static_cast<std::int64_t>(k)).sigmoid());
    }
    judgement.scores = torch::stack(scores, 1).to(images.dtype());  // [B, 4]
  }
  if (ask.maps) {
    const auto map = [&](std::int64_t kind) {
      return model_->map_logits(features(), kind).sigmoid().to(images.dtype());  // [B, S, S]
    };
    judgement.implausibility = map(0);
    judgement.misalignment = map(1);
    if (judgement.implausibility.size(1) != images.size(2) ||
        judgement.implausibility.size(2) != images.size(3)) {
      const auto fit = [&](const torch::Tensor& one) {
        return io::resize(one, images.size(2), images.size(3)).clamp(0, 1);
      };
      judgement.implausibility = fit(judgement.implausibility);
      judgement.misalignment = fit(judgement.misalignment);
    }
  }
  if (!texts_asked) return judgement;
  const auto plain_rows = rows(encoded, 0, batch);
  if (ask.written) judgement.written = write_words(plain_rows, words);
  if (ask.words) {
    std::vector<PlainSequence> plain;
    for (const auto& one : words.text) plain.push_back(codec_.plain(one));
    words.misaligned = word_logits(*model_, codec_, plain_rows, plain)
                           .sigmoid()
                           .masked_fill(~words.mask, 0);  // [B, W]
    judgement.words = std::move(words);
  }
  return judgement;
}

torch::Tensor RahfReward::write_words(const Encoded& encoded, const Words& words) {
  std::size_t longest = 1;  // every word marked
  for (const auto& one : words.text) {
    const std::vector<std::uint8_t> all(one.size(), 1);
    longest = std::max(longest, codec_.target_ids(one, all).size());
  }
  const auto ids = model_->greedy(encoded, static_cast<std::int64_t>(longest)).cpu().contiguous();
  auto written = torch::zeros(words.mask.sizes(), torch::kBool);  // [B, W]
  for (std::size_t b = 0; b < words.text.size(); ++b) {
    const auto* row = ids.data_ptr<std::int64_t>() + static_cast<std::int64_t>(b) * ids.size(1);
    const auto flags = codec_.parse({row, row + ids.size(1)}, words.text[b]);
    std::copy(flags.begin(), flags.end(),
              written.data_ptr<bool>() + static_cast<std::int64_t>(b) * written.size(1));
  }
  return written.to(words.mask.device());
}

}  // namespace rahf::reward
