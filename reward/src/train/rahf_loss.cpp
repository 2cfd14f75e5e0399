#include "rahf/reward/train/rahf_loss.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "rahf/core/judgement.h"
#include "rahf/core/shapes.h"
#include "rahf/core/words.h"

namespace rahf::reward {
namespace {

constexpr auto kNumScores = static_cast<std::int64_t>(kScoreNames.size());
constexpr auto kNumMaps = static_cast<std::int64_t>(kMapNames.size());
constexpr std::int64_t kNumTasks = kNumScores + kNumMaps;

using Ids = std::vector<std::int64_t>;
using Words = std::vector<std::string>;

// Mean cross-entropy over the tokens that count.
torch::Tensor token_loss(RahfModelImpl& model, const Encoded& encoded, const TokenBatch& target) {
  const auto logits = model.token_logits(encoded, target.ids);  // [B, M, V]
  const auto ignored = target.ids.masked_fill(~target.mask, -100);
  const auto sum =
      at::cross_entropy_loss(logits.flatten(0, 1), ignored.flatten(), {}, at::Reduction::Sum);
  return sum / target.mask.sum().clamp_min(1);  // a batch may have no token that counts
}

torch::Tensor heatmap_error(const torch::Tensor& logits, const torch::Tensor& target,
                            HeatmapLoss kind) {
  return kind == HeatmapLoss::kMse ? at::mse_loss(logits.sigmoid(), target)
                                   : at::binary_cross_entropy_with_logits(logits, target);
}

// The loss of P(misaligned) for words that exist.
torch::Tensor word_loss(RahfModelImpl& model, const PromptCodec& codec, const Encoded& encoded,
                        const std::vector<Words>& words,
                        const std::vector<std::vector<std::uint8_t>>& misaligned) {
  std::vector<PlainSequence> plain;
  for (const auto& one : words) plain.push_back(codec.plain(one));
  const auto logits = word_logits(model, codec, encoded, plain);  // [B, W]
  auto target = torch::zeros(logits.sizes(), torch::kFloat);
  auto weight = torch::zeros(logits.sizes(), torch::kFloat);
  for (std::size_t b = 0; b < words.size(); ++b) {
    for (std::size_t w = 0; w < words[b].size(); ++w) {
      const auto at =
          static_cast<std::ptrdiff_t>(b) * logits.size(1) + static_cast<std::ptrdiff_t>(w);
      target.data_ptr<float>()[at] = misaligned[b][w];
      weight.data_ptr<float>()[at] = 1;
    }
  }
  target = target.to(logits.device());
  weight = weight.to(logits.device());
  const auto loss =
      at::binary_cross_entropy_with_logits(logits, target, weight, {}, at::Reduction::Sum);
  return loss / weight.sum().clamp_min(1);
}

bool shows_all(const Batch& batch, std::size_t b) {
  return std::none_of(batch.misaligned_words[b].begin(), batch.misaligned_words[b].end(),
                      [](std::uint8_t flag) { return flag != 0; });
}

// Texts made from the captions of the pictures that show all of theirs, behind these pictures'
// tokens, which the caller has already.
torch::Tensor caption_loss(RahfModelImpl& model, const PromptCodec& codec,
                           const torch::Tensor& pictures, const Batch& batch,
                           const std::vector<Words>& words, const CaptionStream& captions,
                           std::mt19937_64& engine) {
  Ids rows;
  std::vector<Ids> texts, targets, counted;
  for (std::size_t b = 0; b < words.size(); ++b) {
    if (!shows_all(batch, b)) continue;
    const auto task = captions.draw(words[b], engine);
    rows.push_back(static_cast<std::int64_t>(b));
    texts.push_back(codec.encoder_ids(task.shown));
    targets.push_back(codec.target_ids(task.target, task.misaligned));
    const auto mask = codec.target_mask(task.target, task.misaligned, task.asked);
    counted.emplace_back(mask.begin(), mask.end());
  }
  if (rows.empty()) return pictures.sum() * 0;
  const auto device = pictures.device();
  const auto chosen = pictures.index_select(0, torch::tensor(rows, torch::kLong).to(device));
  const auto asked = codec.pad(counted);
  const TokenBatch target{codec.pad(targets).ids, asked.mask & asked.ids.eq(1)};
  return token_loss(model, model.encode(chosen, codec.pad(texts).to(device)), target.to(device));
}

}  // namespace

void RahfLossOptions::validate() const {
  for (const auto& [name, weight] : {std::pair{"heatmap_weight", heatmap_weight},
                                     {"score_weight", score_weight},
                                     {"sequence_weight", sequence_weight},
                                     {"word_weight", word_weight}}) {
    if (weight >= 0) continue;
    throw ConfigError(std::string("RahfLossOptions.") + name + " = " + option_text::write(weight) +
                      ", must be >= 0");
  }
  if (tasks_per_picture < 0 || tasks_per_picture > kNumTasks) {
    throw ConfigError("RahfLossOptions.tasks_per_picture = " + std::to_string(tasks_per_picture) +
                      ", must be in [0, " + std::to_string(kNumTasks) + "]");
  }
  caption.validate();
}

std::vector<std::pair<std::string_view, torch::Tensor>> RahfLossTerms::parts() const {
  std::vector<std::pair<std::string_view, torch::Tensor>> all;
  for (const auto& [name, part] : {std::pair<std::string_view, torch::Tensor>{"heatmap", heatmap},
                                   {"score", score},
                                   {"sequence", sequence},
                                   {"word", word},
                                   {"caption", caption}}) {
    if (part.defined()) all.emplace_back(name, part);
  }
  return all;
}

torch::Tensor RahfLossTerms::total(const RahfLossOptions& options) const {
  torch::Tensor sum;
  const auto add = [&sum](const torch::Tensor& part, double weight) {
    if (!part.defined()) return;
    sum = sum.defined() ? sum + part * weight : part * weight;
  };
  add(heatmap, options.heatmap_weight);
  add(score, options.score_weight);
  add(sequence, options.sequence_weight);
  add(word, options.word_weight);
  add(caption, options.caption.weight);
  return sum;
}

RahfLossTerms rahf_loss(RahfModelImpl& model, const PromptCodec& codec, const Batch& batch,
                        const RahfLossOptions& options, const CaptionStream* captions,
                        std::mt19937_64& engine) {
  const auto size = model.options().vit.image_size;
  Shapes shapes("rahf_loss");
  shapes.check("batch.images", batch.images, {"B", 3, size, size}, torch::kFloat);
  shapes.check("batch.scores", batch.scores, {"B", kNumScores}, torch::kFloat);
  shapes.check("batch.implausibility", batch.implausibility, {"B", size, size}, torch::kFloat);
  shapes.check("batch.misalignment", batch.misalignment, {"B", size, size}, torch::kFloat);
  const auto device = batch.images.device();
  const auto count = batch.images.size(0);
  const bool augmented = model.options().variant == Variant::kAugmentedPrompt;

  std::vector<Words> words;
  std::vector<Ids> texts;  // the plain prompts, then one text per task and picture that has it
  for (const auto& prompt : batch.prompts) {
    words.push_back(split_words(prompt));
    texts.push_back(codec.encoder_ids(words.back()));
  }
  // Which pictures learn which task: all of them, or a few drawn per picture.
  std::vector<Ids> pictures_of(kNumTasks);
  Ids rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  for (std::int64_t b = 0; b < count; ++b) {
    Ids tasks(kNumTasks);
    std::iota(tasks.begin(), tasks.end(), 0);
    const auto drawn =
        augmented && options.tasks_per_picture > 0 ? options.tasks_per_picture : kNumTasks;
    for (std::int64_t i = 0; i < drawn && drawn < kNumTasks; ++i) {
      std::swap(tasks[i], tasks[i + uniform_int(engine, kNumTasks - i)]);
    }
    for (std::int64_t i = 0; i < drawn; ++i) pictures_of[tasks[i]].push_back(b);
  }
  if (augmented) {
    for (std::int64_t task = 0; task < kNumTasks; ++task) {
      const bool is_score = task < kNumScores;
      const auto name = is_score ? kScoreNames[task] : kMapNames[task - kNumScores];
      const auto prefix = task_string(is_score ? "SCORE" : "HEATMAP", name);
      for (const auto b : pictures_of[task]) {
        rows.push_back(b);
        texts.push_back(codec.encoder_ids(words[b], prefix));
      }
    }
  }

  const auto pictures = model.image_tokens(batch.images);  // [B, 1 + g*g, D]
  const auto chosen = torch::tensor(rows, torch::kLong).to(device);
  const auto tokens = augmented ? pictures.index_select(0, chosen) : pictures;
  const auto encoded = model.encode(tokens, codec.pad(texts).to(device));

  RahfLossTerms terms;
  std::vector<torch::Tensor> heatmap_errors, score_errors;
  std::vector<double> heatmap_counts, score_counts;
  auto first = count;
  for (std::int64_t task = 0; task < kNumTasks; ++task) {
    const auto here = static_cast<std::int64_t>(pictures_of[task].size());
    if (here == 0) continue;
    const auto features = augmented ? encoded.features.narrow(0, first, here) : encoded.features;
    first += here;
    const auto pick = [&](const torch::Tensor& target) {
      return here == count ? target
                           : target.index_select(
                                 0, torch::tensor(pictures_of[task], torch::kLong).to(device));
    };
    if (task < kNumScores) {
      const auto score = model.score_logits(features, task).sigmoid();
      score_errors.push_back(at::mse_loss(score, pick(batch.scores.select(1, task))) *
                             static_cast<double>(here));
      score_counts.push_back(static_cast<double>(here));
    } else {
      const auto map = task - kNumScores;
      const auto logits = model.map_logits(features, map);
      const auto target = pick(map == 0 ? batch.implausibility : batch.misalignment);
      heatmap_errors.push_back(heatmap_error(logits, target, options.heatmap_loss) *
                               static_cast<double>(here));
      heatmap_counts.push_back(static_cast<double>(here));
    }
  }
  const auto mean = [](const std::vector<torch::Tensor>& sums, const std::vector<double>& counts) {
    if (sums.empty()) return torch::Tensor();
    return torch::stack(sums).sum() / std::accumulate(counts.begin(), counts.end(), 0.0);
  };
  terms.heatmap = mean(heatmap_errors, heatmap_counts);
  terms.score = mean(score_errors, score_counts);

  const Encoded plain{encoded.features.narrow(0, 0, count), encoded.context.narrow(0, 0, count),
                      encoded.mask.narrow(0, 0, count)};
  if (options.sequence_weight > 0) {
    std::vector<Ids> targets;
    for (std::size_t b = 0; b < words.size(); ++b) {
      targets.push_back(codec.target_ids(words[b], batch.misaligned_words[b]));
    }
    terms.sequence = token_loss(model, plain, codec.pad(targets).to(device));
  }
  if (options.word_weight > 0) {
    terms.word = word_loss(model, codec, plain, words, batch.misaligned_words);
  }
  if (captions != nullptr && options.caption.weight > 0) {
    terms.caption = caption_loss(model, codec, pictures, batch, words, *captions, engine);
  }
  return terms;
}

}  // namespace rahf::reward
