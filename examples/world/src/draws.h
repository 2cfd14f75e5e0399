#pragma once

#include <numbers>
#include <random>

#include "rahf/core/random.h"

namespace rahf::world {

inline double between(std::mt19937_64& engine, double low, double high) {
  return low + (high - low) * uniform(engine);
}

inline double angle(std::mt19937_64& engine) { return between(engine, 0, 2 * std::numbers::pi); }

inline bool happens(std::mt19937_64& engine, double probability) {
  return uniform(engine) < probability;
}

template <class Container>
auto pick(std::mt19937_64& engine, const Container& choices) {
  return choices[uniform_int(engine, static_cast<std::int64_t>(choices.size()))];
}

}  // namespace rahf::world
