#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "rahf/core/generator.h"

namespace rahf::program {

/// How a verb samples pictures.
struct SamplingOptions {
  std::int64_t steps = 20;
  double guidance = 2;
  double stochasticity = 0;
  std::string negative_prompt;
  std::int64_t batch_size = 16;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("steps", self.steps, "denoising or unmasking steps; > 0");
    visit("guidance", self.guidance, "scale of classifier-free guidance; 1 is none; >= 0");
    visit("stochasticity", self.stochasticity,
          "DDIM's eta, the noise of a flow, or the temperature of Muse's choice; >= 0");
    visit("negative_prompt", self.negative_prompt, "what guidance leads away from");
    visit("batch_size", self.batch_size,
          "pictures sampled at once; none depends on it but for rounding; > 0");
  }
  /// @throws UsageError naming the option.
  void validate() const;
  SampleOptions sample_options() const;
};

/// Samples a picture for each prompt. Picture i is drawn from (seed, i), so that it does not depend
/// on its batch. Progress goes to standard error.
/// @param use  called with each batch, in order: its first number, and [B, 3, H, W] f32 in [0, 1]
void sample_pictures(
    Generator& generator, const Prompts& prompts, const SamplingOptions& options,
    std::uint64_t seed,
    const std::function<void(std::int64_t first, const torch::Tensor& images)>& use);

/// All of them, on the CPU.
/// @return [N, 3, H, W] f32 RGB in [0, 1]
torch::Tensor sample_pictures(Generator& generator, const Prompts& prompts,
                              const SamplingOptions& options, std::uint64_t seed);

/// "00007.png" for picture number 7.
std::string picture_file_name(std::int64_t index);

/// Those of options `prompt` and `prompts` (a file), of which one must be given; each `times` in a
/// row.
/// @throws UsageError, FileError
Prompts prompts_option(const std::string& prompt, const std::string& prompts, std::int64_t times);

}  // namespace rahf::program
