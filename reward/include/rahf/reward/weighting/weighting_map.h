#pragma once

#include <torch/types.h>

#include <array>
#include <string_view>
#include <utility>

#include "rahf/core/generator.h"
#include "rahf/core/judgement.h"
#include "rahf/core/options.h"

namespace rahf::weighting {

/// Which heatmap a weighting map is made from.
enum class MapSource {
  kImplausibility,
  kMisalignment,
  kMaximum,  ///< Of both, at each pixel.
  kMean,     ///< Of both.
};

struct WeightingMapOptions {
  MapSource source = MapSource::kMaximum;
  double strength = 0;   ///< 0 is the map of ones (the scalar limit); 1 all by the heatmap; [0, 1].
  double threshold = 0;  ///< Heat below it counts as none; in [0, 1).
  double floor = 0.1;    ///< Least weight before normalising, so that no place is forgotten; > 0.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("source", self.source, "heatmap that the weights are made from");
    visit("strength", self.strength, "0 weighs all places alike, 1 by the heatmap; in [0, 1]");
    visit("threshold", self.threshold, "heat below it counts as none; in [0, 1)");
    visit("floor", self.floor, "least weight before normalising to mean 1; > 0");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// The heatmap of `source`. @return [B, H, W] f32 in [0, 1], higher is worse
/// @throws ConfigError if the judgement lacks it.
torch::Tensor heat(const Judgement& judgement, MapSource source);

/// Weights per location, mean 1 over each picture, no gradient:
///
///     w = 1 - strength + strength * max(b, floor) / mean(max(b, floor))
///
/// where b is the area-pooled heat for pictures with a negative sign, and 1 - heat for the others:
/// a bad picture is changed where it is bad, a good one kept where it is good.
/// @param heat  [B, H, W] f32 in [0, 1]
/// @param sign  [B], the advantage or another number whose sign says whether to avoid (< 0) or to
///              reinforce
/// @return      [B, h, w] f32
torch::Tensor weighting_map(const torch::Tensor& heat, const torch::Tensor& sign, const Grid& grid,
                            const WeightingMapOptions& options);

/// Mean heat of each picture: [B] f32, differentiable; lower is better.
torch::Tensor heatmap_energy(const torch::Tensor& heat);

}  // namespace rahf::weighting

template <>
struct rahf::EnumNames<rahf::weighting::MapSource> {
  using Source = rahf::weighting::MapSource;
  static constexpr std::array<std::pair<Source, std::string_view>, 4> value = {
      {{Source::kImplausibility, "implausibility"},
       {Source::kMisalignment, "misalignment"},
       {Source::kMaximum, "maximum"},
       {Source::kMean, "mean"}}};
};
