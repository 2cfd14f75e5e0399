#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rahf/core/image.h"
#include "rahf/world/caption.h"
#include "rahf/world/mismatch.h"
#include "rahf/world/render.h"
#include "rahf/world/scene.h"

namespace rahf::world {

struct InspectorOptions {
  std::int64_t side = 64;
  double noise_tolerance = 5;
  double edge_tolerance = 0.2;
  double full_residual = 64;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(
        "side", self.side,
        "height and width at which pictures are looked at; others are resized; 32 to 256, pixels");
    visit("noise_tolerance", self.noise_tolerance,
          "unexplained differences (RMS around a pixel, over channels) up to this many of 255 "
          "levels are forgiven; >= 0");
    visit("edge_tolerance", self.edge_tolerance,
          "the same beside edges, as a part of the contrast there: forgives blur and JPEG; in "
          "[0, 1)");
    visit("full_residual", self.full_residual,
          "a difference of so many levels above what is forgiven counts in full; > 0");
  }
  /// @throws ConfigError
  void validate() const;
};

/// Something in a picture that is taken for an object.
struct SeenObject {
  Object object;  ///< The ideal object nearest to it; its group is set by alignment, else kExtra.
  /// How well its pixels fit that: 1 if they are the object's own, 0 if half of it is missing or
  /// surplus, or nothing fits at all.
  double form = 0;
  bool drawn = false;  ///< The explanation contains the ideal object; otherwise it is a blob.
  std::array<double, kNumShapes> shapes{};  ///< P(shape), sums to 1.
  std::array<double, kNumSizes> sizes{};    ///< P(size), sums to 1.
  std::vector<std::int32_t> pixels;         ///< Its pixels, y * side + x.
};

/// "colour", "missing"; "none" for a word that is right.
std::string_view name(WordError error);

/// How a picture agrees with a caption of the grammar.
struct Alignment {
  double score = 0;               ///< In [0, 1]; 1 if the picture shows what was asked for.
  std::vector<double> words;      ///< P(misaligned), one per word of split_words(prompt).
  std::vector<WordError> errors;  ///< What is wrong with each word if it is misaligned.
  torch::Tensor misalignment;     ///< [H, W] f32 in [0, 1], higher is worse
};

/// What the inspector sees in a picture.
struct Inspection {
  double plausibility = 0;          ///< In [0, 1]; 1 for a clean picture of some scene.
  torch::Tensor implausibility;     ///< [H, W] f32 in [0, 1], higher is worse
  Rgb background = kBackground;     ///< As estimated.
  std::vector<SeenObject> objects;  ///< Largest first.
  /// Equal objects counted together: those that stand for the prompt's groups first, then by
  /// colour.
  std::vector<Group> groups;
  /// All that hold for groups[0] and [1], the one asked for first, then the clearest; empty unless
  /// there are exactly two groups.
  std::vector<Relation> relations;
  std::string caption;  ///< Of the recovered scene; beyond the grammar where need be.
  std::optional<Alignment> alignment;  ///< Nothing without a prompt that is a caption.
};

/// Pictures with a lower plausibility are called flawed.
inline constexpr double kFlawedBelow = 0.9;
/// Words with a higher P(misaligned) are called misaligned.
inline constexpr double kMisalignedAbove = 0.5;

/// The closed world's judge: analysis by synthesis on pixels alone, with no learned part.
///
/// Pixels are labelled by the palette's nearest colour, connected pixels explained by the ideal
/// object that takes away most of the squared difference from the background, the best explanation
/// drawn by the world's own renderer, and what remains unexplained, background included, lowers the
/// plausibility: with u(p) in [0, 1] the difference around pixel p beyond tolerance,
///
///     plausibility = 1 / (1 + kSteepness * (sum over objects of u around it / its area
///                                           + u elsewhere / area of all objects)),
///
/// 0 for a picture without any object. Graded, so that better-formed pictures score higher long
/// before they are faultless. The prompt serves alignment only.
///
/// Deterministic, immutable after construction, hence thread-safe.
class Inspector {
 public:
  /// @throws ConfigError
  explicit Inspector(const InspectorOptions& options = {});
  ~Inspector();
  Inspector(Inspector&&) noexcept;
  Inspector& operator=(Inspector&&) noexcept;

  const InspectorOptions& options() const { return options_; }

  /// @param image   of any size and content, not empty; maps come back in its size
  /// @param prompt  what it should show
  /// @throws ShapeError if the picture is empty.
  Inspection inspect(const Image& image, std::optional<std::string_view> prompt = {}) const;

 private:
  InspectorOptions options_;
  std::unique_ptr<class Explainer> explainer_;
};

}  // namespace rahf::world
