#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/draw/canvas.h"
#include "rahf/core/image.h"
#include "rahf/reward/report/prediction.h"

namespace rahf::reward {

// What people see of a prediction. Implausibility is red and misalignment blue, as on the paper's
// annotation page.
inline constexpr draw::Colour kImplausibleColour{226, 26, 28};
inline constexpr draw::Colour kMisalignedColour{28, 92, 230};

inline constexpr draw::Colour kPaper{255, 255, 255};
inline constexpr draw::Colour kInk{28, 30, 34};
inline constexpr draw::Colour kFaintInk{116, 120, 128};
inline constexpr draw::Colour kMissedInk{122, 40, 44};  // struck out in kImplausibleColour
inline constexpr draw::Colour kTrack{228, 230, 234};

/// Pixels from one line of a caption to the next: there is a little air between them.
inline std::int64_t line_height(std::int64_t scale) {
  return draw::Canvas::text_height(scale) + 2 * scale;
}

/// The picture with its maps laid over it as translucent colour, at its own size. Where both maps
/// are high their colours mix.
/// @param implausibility  [H, W] f32 in [0, 1], or undefined
/// @param misalignment    [H, W] f32 in [0, 1], or undefined
/// @throws ShapeError if a map has another size than the picture.
Image blend_maps(const Image& picture, const torch::Tensor& implausibility,
                 const torch::Tensor& misalignment);

/// The picture with a share of its colour taken away, so that a red one does not hide what is
/// marked red.
/// @param share  in [0, 1]; 1 leaves grey
Image paler(const Image& picture, double share);

/// A map as a grey picture: 0 is black, 1 is white.
Image grey_map(const torch::Tensor& map);

/// Draws a prompt in lines of at most `width` pixels, its missed words in red and struck out.
/// @param missed  one flag per word of split_words(prompt), or none at all
/// @return        y below the last line
std::int64_t draw_prompt(draw::Canvas& canvas, std::int64_t x, std::int64_t y, std::int64_t width,
                         std::string_view prompt, const std::vector<std::uint8_t>& missed,
                         std::int64_t scale);
/// How high draw_prompt() draws.
std::int64_t prompt_height(std::int64_t width, std::string_view prompt, std::int64_t scale);

/// Characters from the start of a score's name to its bar.
inline constexpr std::int64_t kScoreNameRoom = 13;

/// One line: name, bar, and value; with a `truth` in [0, 1] a mark on the bar and its value too.
void draw_score(draw::Canvas& canvas, std::int64_t x, std::int64_t y, std::int64_t width,
                std::string_view name, double score, std::optional<double> truth,
                std::int64_t scale);

/// One line that says which colour is which map.
void draw_legend(draw::Canvas& canvas, std::int64_t x, std::int64_t y, std::int64_t scale);

/// The picture, enlarged if it is small, under its maps with an outline where they reach
/// `threshold`; below it the prompt with the words that are missed with at least that probability
/// struck out, and the scores as labelled bars.
/// @param score_names  of the reward, as many as the prediction has scores
Image overlay(const Prediction& prediction, const std::vector<std::string>& score_names,
              double threshold);

}  // namespace rahf::reward
