#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "rahf/core/image.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/reward.h"

namespace rahf::reward {

/// A picture file and what it was asked to show.
struct PictureRequest {
  std::filesystem::path picture;
  std::string prompt;
};

/// What a reward says about one picture, as plain values at the picture's own size.
struct Prediction {
  std::size_t index = 0;  ///< Which request, or which of the pictures given, this answers.
  Image picture;          ///< Decoded.
  std::string prompt;
  std::vector<double> scores;           ///< [K] in [0, 1], in the order of Reward::score_names()
  torch::Tensor implausibility;         ///< [H, W] f32 in [0, 1], CPU; undefined if not offered
  torch::Tensor misalignment;           ///< [H, W] f32 in [0, 1], CPU; undefined if not offered
  std::vector<std::string> words;       ///< The prompt's words; empty if not offered.
  std::vector<double> word_misaligned;  ///< P(misaligned) of each, in [0, 1].
  std::vector<std::uint8_t> written;    ///< One flag per word of the prompt, by greedy decoding;
                                        ///< empty if not asked for or not offered.

  /// One flag per word: 1 from `threshold` on.
  std::vector<std::uint8_t> missed_words(double threshold) const;
};

/// A picture that could not be judged, and why.
struct SkippedPicture {
  std::size_t index = 0;  ///< Which request.
  std::filesystem::path picture;
  std::string reason;  ///< Without the picture's name.
};

struct PredictOptions {
  std::int64_t batch = 8;                    ///< Pictures decoded and judged together; > 0.
  std::int64_t max_pixels = io::kMaxPixels;  ///< Most pixels of a picture; in [1, 2^28].
};

/// Judges decoded pictures in one batch, or in one per size if the reward takes any size. A picture
/// is resized to Reward::input_size() as Pillow does it for 8 bits, and maps are resized back.
/// @param requests  as many as there are pictures: what these are called, and their prompts
/// @throws ShapeError if there are not.
/// @throws NonFiniteError naming picture and output if the reward says NaN.
std::vector<Prediction> predict_batch(Reward& reward, std::vector<Image> pictures,
                                      const std::vector<PictureRequest>& requests,
                                      const Ask& ask = {});

/// Decodes and judges picture files batch by batch, so that any number of them fits into memory.
/// @param use  called with the predictions of each batch, in the order of the requests
/// @return     the pictures that could not be decoded, or whose prompts could not be read, in
///             order; `use` never sees them
std::vector<SkippedPicture> predict_pictures(
    Reward& reward, const std::vector<PictureRequest>& requests, const PredictOptions& options,
    const std::function<void(std::vector<Prediction>)>& use);

}  // namespace rahf::reward
