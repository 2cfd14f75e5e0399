#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <random>
#include <string_view>

namespace rahf {

/// The source of every random draw. Streams are addressed, never shared: what is
/// drawn depends on (seed, rank, purpose, step) alone, so a run that resumes at a
/// step draws what the unbroken run drew there, whatever happened before.
///
///     auto noise = torch::randn(shape, random.generator("noise", step));
///
/// A value type; safe to copy and to use from several threads.
class Randomness {
 public:
  explicit Randomness(std::uint64_t seed, std::int64_t rank = 0) : seed_(seed), rank_(rank) {}

  /// 64 well-mixed bits that differ for every (seed, rank, purpose, step), and for every sample.
  std::uint64_t key(std::string_view purpose, std::int64_t step) const;
  std::uint64_t key(std::string_view purpose, std::int64_t step, std::int64_t sample) const;

  /// A fresh torch generator for one purpose at one step.
  at::Generator generator(std::string_view purpose, std::int64_t step,
                          c10::Device device = c10::kCPU) const;

  /// One for sample number `sample` of that step, on the CPU.
  at::Generator generator(std::string_view purpose, std::int64_t step, std::int64_t sample) const;

  /// The same for draws that are not tensors.
  std::mt19937_64 engine(std::string_view purpose, std::int64_t step) const {
    return std::mt19937_64(key(purpose, step));
  }

  std::uint64_t seed() const { return seed_; }
  std::int64_t rank() const { return rank_; }

 private:
  std::uint64_t seed_;
  std::int64_t rank_;
};

/// Uniform in [0, 1), the same on every standard library (std distributions are not).
double uniform(std::mt19937_64& engine);
/// Uniform integer in [0, bound); bound > 0.
std::int64_t uniform_int(std::mt19937_64& engine, std::int64_t bound);
/// Standard normal (Box-Muller), the same on every standard library.
double normal(std::mt19937_64& engine);

}  // namespace rahf
