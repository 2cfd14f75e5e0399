#include "rahf/generators/pretrain/clip_training.h"

#include <c10/util/StringUtil.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <cmath>
#include <set>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/nn/clip_folder.h"
#include "rahf/core/random.h"
#include "rahf/core/text/clip_tokenizer.h"
#include "rahf/core/train/averages.h"
#include "rahf/core/train/run_folder.h"
#include "rahf/core/words.h"

namespace rahf::generators {
namespace {

/// From here on pictures are for evaluations: no run gets so far.
constexpr std::int64_t kFirstCheckPicture = std::int64_t{1} << 40;

void require(bool ok, const char* name, double value, const char* range) {
  if (ok) return;
  throw ConfigError(c10::str("ClipTraining: ", name, " must be ", range, ", got ", value));
}

std::vector<std::string> texts_of(const Prompts& prompts) {
  std::vector<std::string> texts;
  for (const auto& prompt : prompts) texts.push_back(prompt.text);
  return texts;
}

text::ClipTokenizer tokenizer_of(const ClipTraining& options, const PictureSource& pictures) {
  std::set<std::string> words;
  for (const auto& prompt : pictures.at(0, options.vocabulary_pictures).prompts) {
    for (auto& word : split_words(prompt.text)) words.insert(std::move(word));
  }
  return text::ClipTokenizer(text::bpe_vocabulary({words.begin(), words.end()}),
                             {.length = options.text_length});
}

/// [B, B] f32, 1 where two captions are equal
torch::Tensor equal_captions(const std::vector<std::string>& captions, torch::Device device) {
  std::map<std::string, std::int64_t> numbers;
  std::vector<std::int64_t> ids;
  for (const auto& caption : captions) {
    ids.push_back(numbers.emplace(caption, std::ssize(numbers)).first->second);
  }
  const auto row = torch::tensor(ids).to(device);
  return row.unsqueeze(0).eq(row.unsqueeze(1)).to(torch::kFloat);
}

}  // namespace

void ClipTraining::validate() const {
  require(updates > 0, "updates", static_cast<double>(updates), "> 0");
  require(batch_size > 1, "batch_size", static_cast<double>(batch_size), "> 1");
  require(text_length > 2, "text_length", static_cast<double>(text_length), "> 2");
  require(vocabulary_pictures > 0, "vocabulary_pictures", static_cast<double>(vocabulary_pictures),
          "> 0");
  require(check_pictures > 1, "check_pictures", static_cast<double>(check_pictures), "> 1");
  require(largest_logit_scale > 1, "largest_logit_scale", largest_logit_scale, "> 1");
  loop.validate();
  optimisation.validate();
  model.validate("ClipTraining: model");
}

torch::Tensor contrast_loss(const torch::Tensor& logits, const std::vector<std::string>& captions) {
  const auto equal = equal_captions(captions, logits.device());
  const auto target = equal / equal.sum(1, /*keepdim=*/true);
  const auto one_way = [&](const torch::Tensor& scores) {
    return -(target * torch::log_softmax(scores, 1)).sum(1).mean();
  };
  return (one_way(logits) + one_way(logits.t())) / 2;
}

double found_share(const torch::Tensor& logits, const std::vector<std::string>& captions) {
  const auto best = logits.argmax(1, /*keepdim=*/true);  // [B, 1]
  return equal_captions(captions, logits.device()).gather(1, best).mean().item<double>();
}

void train_clip(const ClipTraining& asked, const PictureSource& pictures,
                const PretrainingPlace& place) {
  asked.validate();
  const auto tokenizer = tokenizer_of(asked, pictures);
  auto options = asked;
  options.model.vision_config.image_size = pictures.side();
  options.model.text_config.vocab_size = tokenizer.vocab_size();
  options.model.text_config.max_position_embeddings = tokenizer.length();
  options.model.text_config.eos_token_id = tokenizer.eos_id();
  options.validate();

  const Randomness random(options.seed);
  torch::manual_seed(random.key("weights", 0));  // LibTorch starts weights from its own generator
  nn::Clip model(options.model);
  model->to(place.device);
  std::vector<OptimisedParameter> parameters;
  for (const auto& item : model->named_parameters()) {
    parameters.push_back(
        {.name = item.key(), .value = item.value(), .weight_decay = item.value().dim() > 1});
  }
  auto logit_scale = model->named_parameters()["logit_scale"];

  train::RunFolder folder(
      {place.run, place.resume, options.loop.keep},
      train::run_identity(options, train::LoopOptions::free(),
                          {{"pictures", pictures.identity()}, {"device", place.device.str()}}));
  train::Optimisation optimisation(std::move(parameters), options.optimisation, options.updates);
  train::Loop loop(folder, options.updates, options.loop);
  loop.keep("optimisation", optimisation);
  loop.resume();

  struct Result {
    torch::Tensor logits;  ///< [B, B]
    std::vector<std::string> captions;
  };
  const auto run = [&](std::int64_t first, std::int64_t count) -> Result {
    const auto batch = pictures.at(first, count);
    const auto captions = texts_of(batch.prompts);
    std::vector<torch::Tensor> ids;
    for (const auto& caption : captions)
      ids.push_back(torch::tensor(tokenizer.padded(caption).ids));
    const auto images = nn::clip_pixels(batch.images.to(place.device), pictures.side());
    const auto texts = torch::stack(ids).to(place.device);
    return {model->logits_per_image(model->encode_images(images), model->encode_text(texts)),
            captions};
  };
  train::Averages averages;
  loop.run({.update =
                [&](std::int64_t k) {
                  const auto [logits, captions] = run(k * options.batch_size, options.batch_size);
                  const auto loss = contrast_loss(logits, captions);
                  optimisation.backward(loss);
                  const train::NamedValues values = {{"loss", loss.detach()}};
                  averages.add(values);
                  averages.add(optimisation.step(values));
                  const torch::NoGradGuard no_grad;
                  logit_scale.clamp_max_(std::log(options.largest_logit_scale));
                },
            .values = [&] { return averages.take(); },
            .check = [&]() -> train::RunLog::Values {
              const torch::NoGradGuard no_grad;
              const train::Averaged averaged(optimisation);
              const auto [logits, captions] = run(kFirstCheckPicture, options.check_pictures);
              return {{"check/loss", contrast_loss(logits, captions).item<double>()},
                      {"check/found", found_share(logits, captions)},
                      {"logit_scale", logit_scale.exp().item<double>()}};
            },
            .items_per_update = static_cast<double>(options.batch_size)});

  const torch::NoGradGuard no_grad;
  const train::Averaged averaged(optimisation);
  nn::save_clip(model, place.model());
  tokenizer.save(place.model());
  finish_model(place.model(), place);
}

}  // namespace rahf::generators
