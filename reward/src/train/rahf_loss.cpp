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

using Ids = RahfTasks::Ids;
using Words = RahfTasks::Words;

bool is_augmented(Variant variant) { return variant == Variant::kAugmentedPrompt; }

// The sum of the cross-entropy over the tokens that count.
torch::Tensor token_loss(RahfModelImpl& model, const Encoded& encoded, const TokenBatch& target) {
  const auto logits = model.token_logits(encoded, target.ids);  // [B, M, V]
  const auto ignored = target.ids.masked_fill(~target.mask, -100);
  return at::cross_entropy_loss(logits.flatten(0, 1), ignored.flatten(), {}, at::Reduction::Sum);
}

// The sum over pictures of the mean over pixels.
torch::Tensor heatmap_error(const torch::Tensor& logits, const torch::Tensor& target,
                            HeatmapLoss kind) {
  const auto mean = kind == HeatmapLoss::kMse
                        ? at::mse_loss(logits.sigmoid(), target)
                        : at::binary_cross_entropy_with_logits(logits, target);
  return mean * static_cast<double>(target.size(0));
}

// The sum of the loss of P(misaligned) over words.
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
  return at::binary_cross_entropy_with_logits(logits, target.to(logits.device()),
                                              weight.to(logits.device()), {}, at::Reduction::Sum);
}

double count_words(const std::vector<Words>& all) {
  std::size_t count = 0;
  for (const auto& words : all) count += words.size();
  return static_cast<double>(count);
}

Encoded select(const Encoded& encoded, const torch::Tensor& rows) {
  return {encoded.features.index_select(0, rows), encoded.context.index_select(0, rows),
          encoded.mask.index_select(0, rows)};
}

torch::Tensor row_tensor(const Ids& rows, torch::Device device) {
  return torch::tensor(rows, torch::kLong).to(device);
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

RahfTasks rahf_tasks(Variant variant, const PromptCodec& codec, const Batch& batch,
                     const RahfLossOptions& options, const CaptionStream* captions,
                     std::mt19937_64& engine) {
  RahfTasks tasks;
  for (const auto& prompt : batch.prompts) tasks.words.push_back(split_words(prompt));
  const auto count = std::ssize(batch.prompts);

  // Which pictures learn which output: all of them, or a few drawn per picture.
  const auto drawn = is_augmented(variant) && options.tasks_per_picture > 0
                         ? options.tasks_per_picture
                         : kNumTasks;
  for (std::int64_t b = 0; b < count; ++b) {
    Ids order(kNumTasks);
    std::iota(order.begin(), order.end(), 0);
    for (std::int64_t i = 0; i < drawn && drawn < kNumTasks; ++i) {
      std::swap(order[i], order[i + uniform_int(engine, kNumTasks - i)]);
    }
    for (std::int64_t i = 0; i < drawn; ++i) tasks.pictures[order[i]].push_back(b);
  }
  auto& counts = tasks.counts;
  for (std::int64_t task = 0; task < kNumTasks; ++task) {
    counts[task < kNumScores ? "score" : "heatmap"] +=
        static_cast<double>(tasks.pictures[task].size());
  }
  std::vector<Ids> marked;
  for (std::size_t b = 0; b < tasks.words.size(); ++b) {
    marked.push_back(codec.target_ids(tasks.words[b], batch.misaligned_words[b]));
    counts["sequence"] += static_cast<double>(marked.back().size());
  }
  tasks.marked = codec.pad(marked);
  counts["word"] = count_words(tasks.words);

  counts["caption"] = counts["caption_word"] = 0;
  if (captions == nullptr || (options.caption.weight <= 0 && options.caption.word_weight <= 0)) {
    return tasks;
  }
  std::vector<Ids> written, asked;
  for (std::int64_t b = 0; b < count; ++b) {
    const auto& flags = batch.misaligned_words[b];
    if (std::any_of(flags.begin(), flags.end(), [](auto flag) { return flag != 0; })) continue;
    auto task = captions->draw(tasks.words[b], engine);
    written.push_back(codec.target_ids(task.target, task.misaligned));
    const auto mask = codec.target_mask(task.target, task.misaligned, task.asked);
    asked.emplace_back(mask.begin(), mask.end());
    counts["caption"] += static_cast<double>(std::count(mask.begin(), mask.end(), 1));
    if (!task.hidden) counts["caption_word"] += static_cast<double>(task.target.size());
    tasks.caption_pictures.push_back(b);
    tasks.captions.push_back(std::move(task));
  }
  const auto mask = codec.pad(asked);
  tasks.written = {codec.pad(written).ids, mask.mask & mask.ids.eq(1)};
  return tasks;
}

train::LossTerms rahf_loss(RahfModelImpl& model, const PromptCodec& codec, const Batch& batch,
                           const RahfTasks& tasks, const RahfLossOptions& options) {
  const auto size = model.options().vit.image_size;
  Shapes shapes("rahf_loss");
  shapes.check("batch.images", batch.images, {"B", 3, size, size}, torch::kFloat);
  shapes.check("batch.scores", batch.scores, {"B", kNumScores}, torch::kFloat);
  shapes.check("batch.implausibility", batch.implausibility, {"B", size, size}, torch::kFloat);
  shapes.check("batch.misalignment", batch.misalignment, {"B", size, size}, torch::kFloat);
  const auto device = batch.images.device();
  const auto count = batch.images.size(0);
  const bool augmented = is_augmented(model.options().variant);
  const auto pictures = model.image_tokens(batch.images);  // [B, 1 + g*g, D]

  train::LossTerms terms;
  const auto add = [&](const char* name, double weight, const auto& sum) {
    if (weight <= 0) return;
    const auto found = tasks.counts.at(name);
    terms.push_back({.name = name,
                     .weight = weight,
                     .sum = found > 0 ? sum() : pictures.sum() * 0,
                     .count = found});
  };

  const bool heads = options.heatmap_weight > 0 || options.score_weight > 0;
  if (heads || options.sequence_weight > 0 || options.word_weight > 0) {
    // One pass for the plain prompts and, behind them, one text per task and picture that has it.
    Ids rows(static_cast<std::size_t>(count));
    std::iota(rows.begin(), rows.end(), 0);
    std::vector<Ids> texts;
    for (const auto& words : tasks.words) texts.push_back(codec.encoder_ids(words));
    for (std::int64_t task = 0; augmented && heads && task < kNumTasks; ++task) {
      const bool is_score = task < kNumScores;
      const auto name = is_score ? kScoreNames[task] : kMapNames[task - kNumScores];
      const auto prefix = task_string(is_score ? "SCORE" : "HEATMAP", name);
      for (const auto b : tasks.pictures[task]) {
        rows.push_back(b);
        texts.push_back(codec.encoder_ids(tasks.words[b], prefix));
      }
    }
    const auto tokens = augmented ? pictures.index_select(0, row_tensor(rows, device)) : pictures;
    const auto encoded = model.encode(tokens, codec.pad(texts).to(device));

    // visit(features, rows, task) for the pictures of each task from `begin` to `end`.
    const auto for_tasks = [&](std::int64_t begin, std::int64_t end, const auto& error) {
      auto first = count;
      torch::Tensor sum;
      for (std::int64_t task = 0; task < end; ++task) {
        const auto here = std::ssize(tasks.pictures[task]);
        const auto from = first;
        first += here;
        if (here == 0 || task < begin) continue;
        const auto features = augmented ? encoded.features.narrow(0, from, here) : encoded.features;
        const auto pick = [&](const torch::Tensor& target) {
          return here == count ? target
                               : target.index_select(0, row_tensor(tasks.pictures[task], device));
        };
        const auto more = error(features, task - begin, pick);
        sum = sum.defined() ? sum + more : more;
      }
      return sum;
    };
    add("heatmap", options.heatmap_weight, [&] {
      return for_tasks(
          kNumScores, kNumTasks, [&](const auto& features, auto map, const auto& pick) {
            return heatmap_error(model.map_logits(features, map),
                                 pick(map == 0 ? batch.implausibility : batch.misalignment),
                                 options.heatmap_loss);
          });
    });
    add("score", options.score_weight, [&] {
      return for_tasks(0, kNumScores, [&](const auto& features, auto score, const auto& pick) {
        return at::mse_loss(model.score_logits(features, score).sigmoid(),
                            pick(batch.scores.select(1, score)), at::Reduction::Sum);
      });
    });
    const Encoded plain{encoded.features.narrow(0, 0, count), encoded.context.narrow(0, 0, count),
                        encoded.mask.narrow(0, 0, count)};
    add("sequence", options.sequence_weight,
        [&] { return token_loss(model, plain, tasks.marked.to(device)); });
    add("word", options.word_weight,
        [&] { return word_loss(model, codec, plain, tasks.words, batch.misaligned_words); });
  }

  if (tasks.captions.empty()) {
    add("caption", options.caption.weight, [] { return torch::Tensor(); });
    add("caption_word", options.caption.word_weight, [] { return torch::Tensor(); });
    return terms;
  }
  std::vector<Ids> texts;
  Ids open;  // the texts that hide no word
  std::vector<Words> words;
  std::vector<std::vector<std::uint8_t>> misaligned;
  for (std::size_t i = 0; i < tasks.captions.size(); ++i) {
    const auto& task = tasks.captions[i];
    texts.push_back(codec.encoder_ids(task.shown));
    if (task.hidden) continue;
    open.push_back(static_cast<std::int64_t>(i));
    words.push_back(task.target);
    misaligned.push_back(task.misaligned);
  }
  const auto chosen = pictures.index_select(0, row_tensor(tasks.caption_pictures, device));
  const auto encoded = model.encode(chosen, codec.pad(texts).to(device));
  add("caption", options.caption.weight,
      [&] { return token_loss(model, encoded, tasks.written.to(device)); });
  add("caption_word", options.caption.word_weight, [&] {
    return word_loss(model, codec, select(encoded, row_tensor(open, device)), words, misaligned);
  });
  return terms;
}

}  // namespace rahf::reward
