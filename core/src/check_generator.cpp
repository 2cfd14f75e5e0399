#include "rahf/core/check_generator.h"

#include <ATen/core/grad_mode.h>

#include <sstream>
#include <utility>

#include "rahf/core/error.h"

namespace rahf {

CheckGenerator::CheckGenerator(Generator& first, Generator& second, CheckTolerance tolerance)
    : first_(first), second_(second), tolerance_(tolerance) {
  const auto a = first.traits(), b = second.traits();
  if (!(a.grid == b.grid) || a.discrete != b.discrete || a.image_height != b.image_height ||
      a.image_width != b.image_width) {
    throw ConfigError("CheckGenerator: both generators must have the same grid, states and size");
  }
}

const torch::Tensor& CheckGenerator::same(const char* what, const torch::Tensor& a,
                                          const torch::Tensor& b) const {
  const auto fail = [&](const std::string& how) {
    throw Error(std::string("CheckGenerator: the two generators must agree on ") + what + ", " +
                how);
  };
  if (a.defined() != b.defined()) fail("one of them gives none");
  if (!a.defined()) return a;
  const torch::NoGradGuard no_grad;
  if (a.sizes() != b.sizes()) {
    std::ostringstream sizes;
    sizes << "got " << a.sizes() << " and " << b.sizes();
    fail(sizes.str());
  }
  const auto other = b.to(a.device());
  if (!a.is_floating_point()) {
    if (!torch::equal(a, other)) {
      fail("got " + std::to_string((a != other).sum().item<std::int64_t>()) + " that differ");
    }
    return a;
  }
  const auto x = a.to(torch::kDouble), y = other.to(torch::kDouble);
  const auto off = (x - y).abs();
  const auto allowed = tolerance_.absolute + tolerance_.relative * y.abs();
  if (!(off <= allowed).all().item<bool>()) {  // a NaN fails, too
    std::ostringstream largest;
    largest << "got a difference of " << off.max().item<double>();
    fail(largest.str());
  }
  return a;
}

Rollout CheckGenerator::sample(const Prompts& prompts, const SampleOptions& options,
                               const Draws& draws) {
  auto a = first_.sample(prompts, options, draws);
  const auto b = second_.sample(prompts, options, draws);
  same("sample().states", a.states, b.states);
  same("sample().latents", a.latents, b.latents);
  same("sample().images", a.images, b.images);
  same("sample().log_prob", a.log_prob, b.log_prob);
  same("sample().decided", a.decided, b.decided);
  return a;
}

StepTerms CheckGenerator::step_terms(const Rollout& rollout, const torch::Tensor& steps,
                                     const TermsAsked& asked) {
  auto a = first_.step_terms(rollout, steps, asked);
  const auto b = second_.step_terms(rollout, steps, asked);
  same("step_terms().log_prob", a.log_prob, b.log_prob);
  same("step_terms().kl", a.kl, b.kl);
  same("step_terms().decided", a.decided, b.decided);
  return a;
}

torch::Tensor CheckGenerator::sample_through(const Prompts& prompts, const BackpropOptions& options,
                                             const Draws& draws) {
  const auto a = first_.sample_through(prompts, options, draws);
  return same("sample_through()", a, second_.sample_through(prompts, options, draws));
}

torch::Tensor CheckGenerator::inpaint(const torch::Tensor& images, const torch::Tensor& masks,
                                      const Prompts& prompts, const SampleOptions& options,
                                      const Draws& draws) {
  const auto a = first_.inpaint(images, masks, prompts, options, draws);
  return same("inpaint()", a, second_.inpaint(images, masks, prompts, options, draws));
}

torch::Tensor CheckGenerator::encode(const torch::Tensor& images) {
  const auto a = first_.encode(images);
  return same("encode()", a, second_.encode(images));
}

torch::Tensor CheckGenerator::decode(const torch::Tensor& latents) {
  const auto a = first_.decode(latents);
  return same("decode()", a, second_.decode(latents));
}

Corrupted CheckGenerator::corrupt(const torch::Tensor& latents, const torch::Tensor& level,
                                  const Draws& draws) {
  auto a = first_.corrupt(latents, level, draws);
  const auto b = second_.corrupt(latents, level, draws);
  same("corrupt().state", a.state, b.state);
  same("corrupt().level", a.level, b.level);
  same("corrupt().target", a.target, b.target);
  return a;
}

torch::Tensor CheckGenerator::predict(const Corrupted& corrupted, const Prompts& prompts,
                                      Policy policy, double guidance_scale) {
  const auto a = first_.predict(corrupted, prompts, policy, guidance_scale);
  return same("predict()", a, second_.predict(corrupted, prompts, policy, guidance_scale));
}

torch::Tensor CheckGenerator::error(const torch::Tensor& prediction, const Corrupted& corrupted) {
  const auto a = first_.error(prediction, corrupted);
  return same("error()", a, second_.error(prediction, corrupted));
}

torch::Tensor CheckGenerator::clean_estimate(const torch::Tensor& prediction,
                                             const Corrupted& corrupted) {
  const auto a = first_.clean_estimate(prediction, corrupted);
  return same("clean_estimate()", a, second_.clean_estimate(prediction, corrupted));
}

void CheckGenerator::update_old(double decay) {
  first_.update_old(decay);
  second_.update_old(decay);
}

}  // namespace rahf
