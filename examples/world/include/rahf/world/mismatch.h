#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

#include "rahf/world/caption.h"
#include "rahf/world/render.h"
#include "rahf/world/scene.h"

namespace rahf::world {

/// A way for a picture to differ from its caption.
enum class Mismatch : std::uint8_t {
  kColour,  ///< A group has another colour than asked for, and than the other group.
  kShape,
  kSize,
  kCount,
  kRelation,  ///< The groups lie so that the relation asked for does not hold at all.
  kMissing,   ///< One of two groups is not there.
  kExtra,     ///< An object in a colour that the caption does not speak of.
};
inline constexpr std::int64_t kNumMismatches = 7;
std::string_view name(Mismatch kind);

/// How much of the alignment a mismatch costs, in [0, 1]: colour .5, shape .55, size .3, count .3,
/// relation .6, missing .7, extra .35.
double penalty(Mismatch kind);
/// That of a wrong count, by how many objects are too many or too few: .3 for one, .45 for more.
double count_penalty(std::int64_t off);
/// The factor on the penalties of colour, shape, size and count in a caption of two groups: .8.
double penalty_share_of_two_groups();

/// What is wrong with a word of a caption; the codes of `word_kinds` in truth.h5.
enum class WordError : std::uint8_t {
  kNone,
  kColour,
  kShape,
  kSize,
  kCount,
  kRelation,
  kMissing,  ///< Colour and shape words of a group that is not there.
};

/// A scene for a caption, and where the two differ.
struct Depiction {
  Scene scene;
  std::vector<Mismatch> mismatches;
  std::vector<WordError> words;  ///< One per word of the caption; an extra object has none.
  /// Per object of the scene, whether it is concerned: all objects of a group with a wrong colour,
  /// shape, size or count, all objects of both groups for a wrong relation, the extra object. A
  /// missing group concerns none.
  std::vector<bool> concerned;
  /// The product over mismatches of 1 less the penalty; 1 if nothing differs.
  double alignment = 1;
};

/// Draws a scene that differs from `asked` in the given ways: all different, relation and missing
/// only for two groups, and missing not together with relation, colour or extra.
/// @return nothing if what was drawn does not fit a picture; drawing again may help
std::optional<Depiction> depict(const Description& asked, const std::vector<Mismatch>& mismatches,
                                std::mt19937_64& engine);

/// One kind of mismatch, or with probability 1/4 two that go together. Over captions of which a
/// share `two_group_share` has two groups, the kinds are equally frequent.
std::vector<Mismatch> random_mismatches(const Description& asked, double two_group_share,
                                        std::mt19937_64& engine);

}  // namespace rahf::world
