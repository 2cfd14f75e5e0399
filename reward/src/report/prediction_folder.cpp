#include "rahf/reward/report/prediction_folder.h"

#include <ATen/Parallel.h>
#include <c10/util/StringUtil.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/csv.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/utf8.h"
#include "rahf/core/words.h"
#include "rahf/reward/report/overlay.h"

namespace rahf::reward {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 4> kPictureKinds = {kMapNames[0], kMapNames[1], "heat",
                                                           "overlay"};

std::string file_name(const std::string& name, std::string_view kind) {
  return c10::str(name, '.', kind, ".png");
}

// The pictures' file names without their extensions, numbered where they would be the same.
std::vector<std::string> distinct_names(const std::vector<PictureRequest>& requests) {
  std::vector<std::string> names;
  std::set<std::string> taken;
  for (const auto& request : requests) {
    // With the kind, and while it is written, the name must stay within the system's 255 bytes.
    constexpr std::size_t kLongest = 200;
    const auto full = request.picture.stem().string();
    const std::string stem(utf8_prefix(full, kLongest));
    auto name = stem;
    for (int number = 2; !taken.insert(name).second; ++number) name = c10::str(stem, '-', number);
    names.push_back(name);
  }
  return names;
}

Json map_summary(const torch::Tensor& map) {
  return {{"mean", map.mean().item<double>()}, {"max", map.max().item<double>()}};
}

Json describe(const Prediction& prediction, const PictureRequest& request, const std::string& name,
              const std::vector<std::string>& score_names, double threshold) {
  Json entry = {{"picture", request.picture.string()},
                {"prompt", prediction.prompt},
                {"width", prediction.picture.width},
                {"height", prediction.picture.height},
                {"scores", Json::object()},
                {"words", Json::array()},
                {"misaligned_words", Json::array()}};
  for (std::size_t k = 0; k < prediction.scores.size(); ++k) {
    entry["scores"][score_names.at(k)] = prediction.scores[k];
  }
  const auto missed = prediction.missed_words(threshold);
  for (std::size_t i = 0; i < prediction.words.size(); ++i) {
    entry["words"].push_back(
        {{"word", prediction.words[i]}, {"misaligned", prediction.word_misaligned[i]}});
    if (missed[i] != 0) entry["misaligned_words"].push_back(i);
  }
  Json files = Json::object();
  const auto add_map = [&](std::string_view kind, const torch::Tensor& map) {
    if (!map.defined()) return;
    entry[std::string(kind)] = map_summary(map);
    files[std::string(kind)] = file_name(name, kind);
  };
  add_map(kMapNames[0], prediction.implausibility);
  add_map(kMapNames[1], prediction.misalignment);
  for (const char* kind : {"heat", "overlay"}) files[kind] = file_name(name, kind);
  entry["files"] = std::move(files);
  return entry;
}

// The prompt with tildes around its missed words.
std::string marked_prompt(const Prediction& prediction, double threshold) {
  auto prompt = prediction.prompt;
  const auto spans = word_spans(prompt);
  const auto missed = prediction.missed_words(threshold);
  for (auto i = std::min(missed.size(), spans.size()); i-- > 0;) {  // from the end: spans hold
    if (missed[i] != 0) prompt.insert(spans[i].end, "~").insert(spans[i].begin, "~");
  }
  return prompt;
}

std::string csv_row(const Prediction& prediction, const PictureRequest& request, double threshold) {
  std::vector<std::string> row = {request.picture.string(), prediction.prompt};
  for (const double score : prediction.scores) row.push_back(Json(score).dump());
  for (const auto& map : {prediction.implausibility, prediction.misalignment}) {
    row.push_back(map.defined() ? Json(map.mean().item<double>()).dump() : "");
  }
  std::vector<std::string> words;
  const auto missed = prediction.missed_words(threshold);
  for (std::size_t i = 0; i < missed.size(); ++i) {
    if (missed[i] != 0) words.push_back(prediction.words[i]);
  }
  row.push_back(join_words(words));
  row.push_back(marked_prompt(prediction, threshold));
  return io::csv_line(row);
}

// What is not UTF-8 in a file name or prompt is replaced.
std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

PredictionFolder::PredictionFolder(fs::path folder, const std::vector<PictureRequest>& requests,
                                   std::vector<std::string> score_names, double threshold)
    : folder_(std::move(folder)),
      requests_(requests),
      names_(distinct_names(requests)),
      score_names_(std::move(score_names)),
      threshold_(threshold) {
  if (!(threshold >= 0 && threshold <= 1)) {
    throw ConfigError(c10::str("threshold must be in [0, 1], got ", threshold));
  }
  std::vector<std::string> head = {"picture", "prompt"};
  head.insert(head.end(), score_names_.begin(), score_names_.end());
  head.insert(head.end(),
              {"mean_implausibility", "mean_misalignment", "misaligned_words", "marked_prompt"});
  csv_ = io::csv_line(head);
  json_ = c10::str("{\"threshold\": ", Json(threshold).dump(), ",\n \"predictions\": [");
  std::set<fs::path> pictures;
  for (const auto& request : requests_) pictures.insert(fs::weakly_canonical(request.picture));
  const auto target = fs::weakly_canonical(folder_);
  for (const auto& name : names_) {
    for (const auto kind : kPictureKinds) {
      const auto path = target / file_name(name, kind);
      if (pictures.contains(path)) {
        throw FileError(path.string() +
                        ": is one of the pictures and would be written over (write into another "
                        "folder)");
      }
    }
  }
}

void PredictionFolder::add(const std::vector<Prediction>& predictions) {
  std::vector<std::string> problems(predictions.size());
  // Drawing and compressing cost more than judging with a small model: one picture per thread.
  at::parallel_for(0, std::ssize(predictions), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) {
      const auto& prediction = predictions[i];
      const auto write = [&](std::string_view kind, const Image& image) {
        io::write_image(folder_ / file_name(names_[prediction.index], kind), image);
      };
      const auto& [implausibility, misalignment] =
          std::tie(prediction.implausibility, prediction.misalignment);
      try {
        if (implausibility.defined()) write(kMapNames[0], grey_map(implausibility));
        if (misalignment.defined()) write(kMapNames[1], grey_map(misalignment));
        write("heat", blend_maps(prediction.picture, implausibility, misalignment));
        write("overlay", overlay(prediction, score_names_, threshold_));
      } catch (const FileError& error) {
        problems[i] = error.what();
      }
    }
  });
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const auto& prediction = predictions[i];
    const auto& request = requests_[prediction.index];
    if (!problems[i].empty()) {
      not_written_.push_back({prediction.index, request.picture, problems[i]});
      continue;
    }
    csv_ += csv_row(prediction, request, threshold_);
    json_ +=
        (json_.ends_with('[') ? "\n  " : ",\n  ") +
        dump(describe(prediction, request, names_[prediction.index], score_names_, threshold_));
  }
}

std::vector<SkippedPicture> PredictionFolder::finish(std::vector<SkippedPicture> skipped) {
  skipped.insert(skipped.end(), not_written_.begin(), not_written_.end());
  std::sort(skipped.begin(), skipped.end(),
            [](const auto& a, const auto& b) { return a.index < b.index; });
  auto list = Json::array();
  for (const auto& [index, picture, reason] : skipped) {
    list.push_back({{"picture", picture.string()}, {"reason", reason}});
  }
  json_ += "],\n \"skipped\": " + dump(list) + "}\n";
  io::write_atomically(folder_ / "predictions.json", json_);
  io::write_atomically(folder_ / "predictions.csv", csv_);
  return skipped;
}

}  // namespace rahf::reward
