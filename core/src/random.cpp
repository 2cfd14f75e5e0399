#include "rahf/core/random.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include <cmath>
#include <numbers>

namespace rahf {
namespace {

// SplitMix64's finaliser: every input bit changes every output bit with probability one half.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

// The CPU's Mersenne twister keeps 32 bits of a seed; fold so that all 64 count.
at::Generator seeded(at::Generator generator, std::uint64_t bits) {
  generator.set_current_seed(generator.device().is_cpu() ? (bits ^ (bits >> 32)) & 0xFFFFFFFFULL
                                                         : bits);
  return generator;
}

}  // namespace

std::uint64_t Randomness::key(std::string_view purpose, std::int64_t step) const {
  std::uint64_t hash = mix(seed_);
  hash = mix(hash ^ static_cast<std::uint64_t>(rank_));
  for (const char c : purpose) hash = mix(hash ^ static_cast<unsigned char>(c));
  hash = mix(hash ^ purpose.size());
  return mix(hash ^ static_cast<std::uint64_t>(step));
}

std::uint64_t Randomness::key(std::string_view purpose, std::int64_t step,
                              std::int64_t sample) const {
  return mix(mix(key(purpose, step)) ^ static_cast<std::uint64_t>(sample));
}

at::Generator Randomness::generator(std::string_view purpose, std::int64_t step,
                                    std::int64_t sample) const {
  return seeded(at::detail::createCPUGenerator(), key(purpose, step, sample));
}

at::Generator Randomness::generator(std::string_view purpose, std::int64_t step,
                                    c10::Device device) const {
  return seeded(device.is_cpu() ? at::detail::createCPUGenerator()
                                : at::globalContext().defaultGenerator(device).clone(),
                key(purpose, step));
}

double uniform(std::mt19937_64& engine) { return static_cast<double>(engine() >> 11) * 0x1.0p-53; }

std::int64_t uniform_int(std::mt19937_64& engine, std::int64_t bound) {
  return static_cast<std::int64_t>(uniform(engine) * static_cast<double>(bound));
}

double normal(std::mt19937_64& engine) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform(engine)));
  return radius * std::cos(2.0 * std::numbers::pi * uniform(engine));
}

}  // namespace rahf
