#include "rahf/reward/prediction_folder.h"

#include <ATen/Parallel.h>
#include <c10/util/StringUtil.h>

#include <array>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/csv.h"
#include "rahf/core/io/image_file.h"
#include "rahf/reward/overlay.h"

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
    const auto stem = request.picture.stem().string();
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

std::string as_csv(const Json& json, const std::vector<std::string>& score_names) {
  std::vector<std::string> row = {"picture", "prompt"};
  row.insert(row.end(), score_names.begin(), score_names.end());
  row.insert(row.end(), {"mean_implausibility", "mean_misalignment", "misaligned_words"});
  auto text = io::csv_line(row);
  for (const auto& entry : json["predictions"]) {
    row = {entry["picture"], entry["prompt"]};
    const auto& scores = entry["scores"];
    for (const auto& name : score_names) {
      row.push_back(scores.contains(name) ? scores[name].dump() : "");
    }
    for (const auto name : {"implausibility", "misalignment"}) {
      row.push_back(entry.contains(name) ? entry[name]["mean"].dump() : "");
    }
    std::string words;
    for (const std::size_t i : entry["misaligned_words"]) {
      words += (words.empty() ? "" : " ") + entry["words"][i]["word"].get<std::string>();
    }
    row.push_back(words);
    text += io::csv_line(row);
  }
  return text;
}

}  // namespace

PredictionFolder::PredictionFolder(fs::path folder, const std::vector<PictureRequest>& requests,
                                   std::vector<std::string> score_names, double threshold)
    : folder_(std::move(folder)),
      requests_(requests),
      names_(distinct_names(requests)),
      score_names_(std::move(score_names)),
      threshold_(threshold),
      json_(
          {{"threshold", threshold}, {"predictions", Json::array()}, {"skipped", Json::array()}}) {
  if (!(threshold >= 0 && threshold <= 1)) {
    throw ConfigError(c10::str("threshold must be in [0, 1], got ", threshold));
  }
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
  // Drawing and compressing cost more than judging with a small model: one picture per thread.
  at::parallel_for(0, std::ssize(predictions), 1, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = begin; i < end; ++i) {
      const auto& prediction = predictions[i];
      const auto write = [&](std::string_view kind, const Image& image) {
        io::write_image(folder_ / file_name(names_[prediction.index], kind), image);
      };
      const auto& [implausibility, misalignment] =
          std::tie(prediction.implausibility, prediction.misalignment);
      if (implausibility.defined()) write(kMapNames[0], grey_map(implausibility));
      if (misalignment.defined()) write(kMapNames[1], grey_map(misalignment));
      write("heat", blend_maps(prediction.picture, implausibility, misalignment));
      write("overlay", overlay(prediction, score_names_, threshold_));
    }
  });
  for (const auto& prediction : predictions) {
    json_["predictions"].push_back(describe(prediction, requests_[prediction.index],
                                            names_[prediction.index], score_names_, threshold_));
  }
}

std::string PredictionFolder::json_text() const {
  return json_.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

void PredictionFolder::finish(const std::vector<SkippedPicture>& skipped) {
  for (const auto& [picture, reason] : skipped) {
    json_["skipped"].push_back({{"picture", picture.string()}, {"reason", reason}});
  }
  io::write_atomically(folder_ / "predictions.json", json_text());
  io::write_atomically(folder_ / "predictions.csv", as_csv(json_, score_names_));
}

}  // namespace rahf::reward
