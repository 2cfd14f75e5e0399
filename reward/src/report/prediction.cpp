#include "rahf/reward/report/prediction.h"

#include <c10/core/InferenceMode.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <map>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/io/resize.h"
#include "rahf/core/prompt_error.h"
#include "rahf/core/words.h"

namespace rahf::reward {
namespace {

// Row `i` of maps [B, h, w] as [H, W] on the CPU.
torch::Tensor own_map(const torch::Tensor& maps, std::int64_t i, const Image& picture) {
  if (!maps.defined()) return {};
  const auto map = maps.slice(0, i, i + 1).to(torch::kCPU, torch::kFloat);
  return io::resize(map, picture.height, picture.width).clamp(0, 1)[0];
}

}  // namespace

std::vector<std::uint8_t> Prediction::missed_words(double threshold) const {
  std::vector<std::uint8_t> missed;
  for (const double p : word_misaligned) missed.push_back(p >= threshold ? 1 : 0);
  return missed;
}

std::vector<Prediction> predict_batch(Reward& reward, std::vector<Image> pictures,
                                      const std::vector<PictureRequest>& requests, const Ask& ask) {
  if (pictures.size() != requests.size()) {
    throw ShapeError(c10::str("predict_batch: requests must be as many as the pictures, ",
                              pictures.size(), ", got ", requests.size()));
  }
  const c10::InferenceMode inference;
  const auto side = reward.input_size();
  std::map<std::pair<std::int64_t, std::int64_t>, std::vector<std::size_t>> by_size;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const auto size =
        side > 0 ? std::pair(side, side) : std::pair(pictures[i].height, pictures[i].width);
    by_size[size].push_back(i);
  }

  std::vector<Prediction> predictions(pictures.size());
  for (const auto& [size, members] : by_size) {
    std::vector<torch::Tensor> images;
    Prompts prompts;
    std::vector<std::string> names;
    for (const auto i : members) {
      images.push_back(to_tensor(side > 0 ? io::resize(pictures[i], side, side) : pictures[i]));
      prompts.push_back({.text = requests[i].prompt, .word_weights = {}});
      names.push_back(requests[i].picture.string());
    }
    const auto judgement = reward.judge(torch::stack(images).to(reward.device()), prompts, ask);
    check_judgement("predict_batch", judgement, names, reward.score_names());

    const auto scores = judgement.scores.defined()
                            ? judgement.scores.to(torch::kCPU, torch::kDouble).contiguous()
                            : torch::empty({std::ssize(members), 0}, torch::kDouble);
    const auto misaligned = judgement.words.misaligned.defined()
                                ? judgement.words.misaligned.to(torch::kCPU, torch::kDouble)
                                : torch::Tensor();  // [B, W]
    const auto written = judgement.written.defined()
                             ? judgement.written.to(torch::kCPU, torch::kByte)
                             : torch::Tensor();  // [B, W]
    for (std::size_t row = 0; row < members.size(); ++row) {
      const auto i = members[row];
      auto& prediction = predictions[i];
      prediction.index = i;
      prediction.prompt = requests[i].prompt;
      const auto* first = scores.data_ptr<double>() + row * scores.size(1);
      prediction.scores.assign(first, first + scores.size(1));
      prediction.implausibility = own_map(judgement.implausibility, row, pictures[i]);
      prediction.misalignment = own_map(judgement.misalignment, row, pictures[i]);
      if (misaligned.defined()) {
        prediction.words = judgement.words.text.at(row);
        const auto values = misaligned[row].contiguous();
        prediction.word_misaligned.assign(values.data_ptr<double>(),
                                          values.data_ptr<double>() + std::ssize(prediction.words));
      }
      if (written.defined()) {
        const auto flags = written[row].contiguous();
        prediction.written.assign(
            flags.data_ptr<std::uint8_t>(),
            flags.data_ptr<std::uint8_t>() + split_words(requests[i].prompt).size());
      }
      prediction.picture = std::move(pictures[i]);
    }
  }
  return predictions;
}

std::vector<SkippedPicture> predict_pictures(
    Reward& reward, const std::vector<PictureRequest>& requests, const PredictOptions& options,
    const std::function<void(std::vector<Prediction>)>& use) {
  if (options.batch <= 0) throw ConfigError(c10::str("batch must be > 0, got ", options.batch));
  std::vector<SkippedPicture> skipped;
  const auto batch = static_cast<std::size_t>(options.batch);
  for (std::size_t begin = 0; begin < requests.size(); begin += batch) {
    const auto count = std::min(batch, requests.size() - begin);
    std::vector<Image> decoded(count);
    std::vector<std::string> problems(count);
#pragma omp parallel for schedule(dynamic)
    for (std::size_t i = 0; i < count; ++i) {
      try {
        decoded[i] = io::read_image(requests[begin + i].picture, options.max_pixels);
      } catch (const std::exception& error) {
        problems[i] = error.what();
      }
    }

    std::vector<Image> pictures;
    std::vector<PictureRequest> judged;
    std::vector<std::size_t> indices;
    for (std::size_t i = 0; i < count; ++i) {
      const auto& request = requests[begin + i];
      if (!problems[i].empty()) {
        const auto prefix = request.picture.string() + ": ";
        if (problems[i].starts_with(prefix)) problems[i].erase(0, prefix.size());
        skipped.push_back({begin + i, request.picture, problems[i]});
        continue;
      }
      pictures.push_back(std::move(decoded[i]));
      judged.push_back(request);
      indices.push_back(begin + i);
    }
    if (pictures.empty()) continue;
    std::vector<Prediction> predictions;
    try {
      predictions = predict_batch(reward, pictures, judged);
    } catch (const PromptError&) {  // of one or more: each alone
      for (std::size_t i = 0; i < judged.size(); ++i) {
        try {
          auto alone = predict_batch(reward, {pictures[i]}, {judged[i]});
          alone[0].index = i;
          predictions.push_back(std::move(alone[0]));
        } catch (const PromptError& error) {
          skipped.push_back({indices[i], judged[i].picture, error.what()});
        }
      }
    }
    if (predictions.empty()) continue;
    for (auto& prediction : predictions) prediction.index = indices[prediction.index];
    use(std::move(predictions));
  }
  std::sort(skipped.begin(), skipped.end(),
            [](const auto& a, const auto& b) { return a.index < b.index; });
  return skipped;
}

}  // namespace rahf::reward
