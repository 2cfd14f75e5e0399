#pragma once

#include <filesystem>
#include <vector>

#include "rahf/core/generator.h"

namespace rahf {

/// How far apart two answers may be: |a - b| <= absolute + relative |b|, for every element.
struct CheckTolerance {
  double absolute = 1e-5;  ///< >= 0
  double relative = 1e-4;  ///< >= 0
};

/// A generator that asks two others everything and answers as the first, if they agree: for
/// comparing an implementation, a device or a precision with a reference in the middle of a run.
/// Ids and masks must be equal. Both must hold the same weights at the start; update_old() goes to
/// both, but whoever optimises trainable() moves the first alone.
///
/// Both must outlive it. As thread-safe as the two.
class CheckGenerator : public Generator {
 public:
  CheckGenerator(Generator& first, Generator& second, CheckTolerance tolerance = {});

  GeneratorTraits traits() const override { return first_.traits(); }
  torch::Device device() const override { return first_.device(); }

  // Each throws Error naming the call, the tensor and the largest difference if the two disagree.

  Rollout sample(const Prompts& prompts, const SampleOptions& options, const Draws& draws) override;
  StepTerms step_terms(const Rollout& rollout, const torch::Tensor& steps,
                       const TermsAsked& asked) override;
  torch::Tensor sample_through(const Prompts& prompts, const BackpropOptions& options,
                               const Draws& draws) override;
  torch::Tensor inpaint(const torch::Tensor& images, const torch::Tensor& masks,
                        const Prompts& prompts, const SampleOptions& options,
                        const Draws& draws) override;
  torch::Tensor encode(const torch::Tensor& images) override;
  torch::Tensor decode(const torch::Tensor& latents) override;
  Corrupted corrupt(const torch::Tensor& latents, const torch::Tensor& level,
                    const Draws& draws) override;
  torch::Tensor predict(const Corrupted& corrupted, const Prompts& prompts, Policy policy,
                        double guidance_scale) override;
  torch::Tensor error(const torch::Tensor& prediction, const Corrupted& corrupted) override;
  torch::Tensor clean_estimate(const torch::Tensor& prediction,
                               const Corrupted& corrupted) override;

  std::vector<OptimisedParameter> trainable() override { return first_.trainable(); }
  void update_old(double decay) override;
  void save(const std::filesystem::path& folder) const override { first_.save(folder); }

 private:
  const torch::Tensor& same(const char* what, const torch::Tensor& a, const torch::Tensor& b) const;

  Generator& first_;
  Generator& second_;
  CheckTolerance tolerance_;
};

}  // namespace rahf
