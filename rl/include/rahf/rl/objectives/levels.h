#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "rahf/core/draws.h"
#include "rahf/core/generator.h"
#include "rahf/core/options.h"

namespace rahf::rl {

/// How noise levels of the forward process are drawn.
enum class LevelKind {
  kUniform,      ///< u, uniform in (0, 1).
  kLogitNormal,  ///< sigmoid(mean + std n), n standard normal.
  kCosine,       ///< cos(pi u / 2): the share of tokens that Muse is trained with.
};

struct LevelOptions {
  LevelKind kind = LevelKind::kUniform;
  double mean = 0;
  double std = 1;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("kind", self.kind, "distribution of noise levels, or of the share of masked tokens");
    visit("mean", self.mean, "logit-normal: mean of the level's logit");
    visit("std", self.std, "logit-normal: its standard deviation; > 0");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// [count] f32 in (0, 1) on `device`.
torch::Tensor noise_levels(const LevelOptions& options, std::int64_t count, const Draws& draws,
                           torch::Device device);

/// Mean over locations of the generator's own training loss times weights; of tokens, over those
/// that were masked.
/// @param error    [B, h, w] f32
/// @param weights  [B, h, w] f32, or undefined for ones
/// @return         [B] f32
torch::Tensor error_per_picture(const torch::Tensor& error, const Corrupted& corrupted,
                                const torch::Tensor& weights = {});

/// The rows of corrupted states and their levels, targets and clean states.
Corrupted rows_of(const Corrupted& corrupted, const torch::Tensor& rows);

}  // namespace rahf::rl

template <>
struct rahf::EnumNames<rahf::rl::LevelKind> {
  using Kind = rahf::rl::LevelKind;
  static constexpr std::array<std::pair<Kind, std::string_view>, 3> value = {
      {{Kind::kUniform, "uniform"},
       {Kind::kLogitNormal, "logit-normal"},
       {Kind::kCosine, "cosine"}}};
};
