#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "rahf/reward/report/prediction.h"

namespace rahf::reward {

/// The folder that predictions are written into. For each picture, with NAME its file name without
/// the extension, cut after 200 bytes ("NAME-2", "NAME-3" where several pictures share it):
///
///     NAME.implausibility.png   the map as a grey picture of the picture's own size: 255 is 1
///     NAME.misalignment.png
///     NAME.heat.png             the picture under both maps, of its own size
///     NAME.overlay.png          the same for people, with prompt and scores: overlay()
///     predictions.json          everything as numbers
///     predictions.csv           a row per picture
class PredictionFolder {
 public:
  /// @param threshold  P(misaligned) from which a word counts as missed; in [0, 1]
  /// @throws FileError if a file would be written over one of the pictures.
  PredictionFolder(std::filesystem::path folder, const std::vector<PictureRequest>& requests,
                   std::vector<std::string> score_names, double threshold);

  /// Writes the pictures of one batch. One that cannot be written is skipped.
  void add(const std::vector<Prediction>& predictions);
  /// Writes predictions.json and predictions.csv.
  /// @return what predict_pictures() skipped and what could not be written, in order
  std::vector<SkippedPicture> finish(std::vector<SkippedPicture> skipped);

  /// What predictions.json holds, once finished:
  ///
  ///     {"threshold": 0.5,
  ///      "predictions": [{"picture": path, "prompt": text, "width": W, "height": H,
  ///                       "scores": {name: number in [0, 1], ...},
  ///                       "words": [{"word": text, "misaligned": probability}, ...],
  ///                       "misaligned_words": [index, ...],
  ///                       "implausibility": {"mean": number, "max": number}, "misalignment": ...,
  ///                       "files": {"overlay": name in the folder, ...}}, ...],
  ///      "skipped": [{"picture": path, "reason": text}, ...]}
  const std::string& json() const { return json_; }
  /// What predictions.csv holds: picture, prompt, a column per score, mean_implausibility,
  /// mean_misalignment, misaligned_words, and marked_prompt with tildes around the missed words.
  const std::string& csv() const { return csv_; }

 private:
  std::filesystem::path folder_;
  std::vector<PictureRequest> requests_;
  std::vector<std::string> names_;  // of the files, one per request
  std::vector<std::string> score_names_;
  double threshold_;
  std::vector<SkippedPicture> not_written_;
  // Text, since a tree of small pieces kept between large pictures splinters the heap.
  std::string json_, csv_;
};

}  // namespace rahf::reward
