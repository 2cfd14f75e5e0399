#include "rahf/generators/pretrain/noise_levels.h"

#include <c10/util/StringUtil.h>

#include <numbers>

#include "rahf/core/error.h"

namespace rahf::generators {

void NoiseLevels::validate() const {
  if (!(deviation > 0)) {
    throw ConfigError(c10::str("NoiseLevels: deviation must be > 0, got ", deviation));
  }
}

torch::Tensor NoiseLevels::draw(std::int64_t count, const Draws& draws) const {
  if (spread == LevelSpread::kLogitNormal) {
    return (draws.normal("noise level", 0, {count}) * deviation + mean).sigmoid();
  }
  const auto u = draws.uniform("noise level", 0, {count});
  return spread == LevelSpread::kCosine ? (u * (std::numbers::pi / 2)).cos() : u;
}

}  // namespace rahf::generators
