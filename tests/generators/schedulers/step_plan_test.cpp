#include "rahf/generators/schedulers/step_plan.h"

#include <torch/types.h>

#include <cmath>
#include <string>

#include "rahf/core/nn/parity.h"
#include "rahf/generators/parity.h"
#include "support/catch.h"
#include "support/paths.h"

using namespace rahf;
using namespace rahf::generators;

namespace {

torch::Tensor all_at(std::int64_t step, std::int64_t batch) {
  return torch::full({batch}, step, torch::kLong);
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

SchedulerOptions stable_diffusion() { return {.steps_offset = 1}; }

}  // namespace

TEST_CASE("A step plan walks the reference's trajectory when predictions and noise are injected",
          "[generators][schedulers][parity]") {
  const std::string name = GENERATE(
      "ddim", "ddim_eta", "ddim_clipped", "ddim_zero_snr", "ddim_linspace", "ddpm", "ddpm_clipped",
      "euler", "euler_leading", "euler_trailing", "dpm_solver", "dpm_solver_leading",
      "dpm_solver_trailing", "flow", "flow_grpo", "ddpo", "ddpo_half");
  INFO(name);
  const auto folder = rahf::test::fixtures() / "schedulers" / name;
  const auto test = nn::ParityCase::read(folder / "case.safetensors");
  for (const auto& one : nn::parity_differences(scheduler_outputs(folder, test), test.expected)) {
    INFO(one.output);
    // The reference keeps Euler's states in a scale that reaches 4096 at zero terminal SNR.
    const double states = name == "euler_trailing" ? 4e-5 : 1e-5;
    CHECK(one.largest <= (one.output == "timesteps" ? 1e-3 : states));
  }
}

TEST_CASE("A step plan has the published standard deviations of DDIM at eta 1",
          "[generators][schedulers]") {
  const auto plan = plan_steps(stable_diffusion(), 50, 1);
  CHECK(plan.timesteps[0].item<float>() == 981);
  CHECK(plan.timesteps[49].item<float>() == 1);
  CHECK(std::abs(plan.steps[0].std - 0.4544633) < 1e-6);
  CHECK(std::abs(plan.steps[24].std - 0.2947845) < 1e-6);
  CHECK(std::abs(plan.steps[48].std - 0.0394795) < 1e-6);
  CHECK(std::abs(plan.steps[49].std - 0.0206483) < 1e-6);
}

TEST_CASE("A step plan has the published coefficients of Flow-GRPO", "[generators][schedulers]") {
  const auto plan = plan_steps(
      {.sampler = Sampler::kFlow, .prediction = Prediction::kFlow, .flow_shift = 3}, 10, 0.7);
  const double sigmas[] = {1,       .960129, .913349, .857692, .790368,
                           .707278, .602151, .464876, .278049, .008929};
  for (int i = 0; i < 10; ++i) CHECK(std::abs(plan.noise[i] - sigmas[i]) < 1e-6);
  CHECK(std::abs(plan.steps[0].kl_std - 3.505671) < 1e-4);
  CHECK(std::abs(plan.steps[0].std - 0.7) < 1e-6);
  CHECK(std::abs(plan.steps[5].mean_state - 0.912011) < 1e-5);
  CHECK(std::abs(plan.steps[5].mean_prediction + 0.130884) < 1e-5);
  CHECK(std::abs(plan.steps[9].std - 0.006278) < 1e-6);
}

TEST_CASE("Every sampler ends at the picture when the prediction is true",
          "[generators][schedulers]") {
  const auto sampler = GENERATE(Sampler::kDdim, Sampler::kEuler, Sampler::kDpmSolver2M);
  const auto prediction = GENERATE(Prediction::kNoise, Prediction::kClean, Prediction::kVelocity);
  auto options = stable_diffusion();
  options.sampler = sampler;
  options.prediction = prediction;
  options.final_alpha_one = true;
  const auto plan = plan_steps(options, 10, 0);
  const auto picture = torch::linspace(-1, 1, 12).view({1, 3, 2, 2});
  const auto noise = torch::linspace(2, -1, 12).view({1, 3, 2, 2});
  auto x = plan.signal[0] * picture + plan.noise[0] * noise;
  torch::Tensor clean;
  for (std::int64_t i = 0; i < plan.size(); ++i) {
    CHECK(largest_difference(x, plan.signal[i] * picture + plan.noise[i] * noise) < 1e-4);
    const double signal = plan.signal[i], level = plan.noise[i];
    const auto told = prediction == Prediction::kNoise   ? noise
                      : prediction == Prediction::kClean ? picture
                                                         : signal * noise - level * picture;
    const auto step = take_step(plan, all_at(i, 1), x, told, clean);
    CHECK(largest_difference(step.clean, picture) < 1e-4);
    x = step.mean;
    clean = step.clean;
  }
  CHECK(largest_difference(x, picture) < 1e-4);
}

TEST_CASE("take_step takes each sample at its own step", "[generators][schedulers]") {
  const auto plan = plan_steps(stable_diffusion(), 8, 1);
  const auto x = torch::linspace(-1, 1, 24).view({3, 2, 2, 2}), p = torch::cos(7 * x);
  const auto steps = torch::tensor({6, 0, 3}, torch::kLong);
  const auto together = take_step(plan, steps, x, p);
  for (std::int64_t i = 0; i < 3; ++i) {
    const auto alone = take_step(plan, steps.narrow(0, i, 1), x.narrow(0, i, 1), p.narrow(0, i, 1));
    CHECK(torch::equal(together.mean[i], alone.mean[0]));
    CHECK(torch::equal(together.std[i], alone.std[0]));
    CHECK(torch::equal(step_log_prob(together, x)[i], step_log_prob(alone, x.narrow(0, i, 1))[0]));
  }
}

TEST_CASE("step_log_prob and step_kl are those of a normal distribution",
          "[generators][schedulers]") {
  const auto mean = torch::tensor({1.F, 3.F}).view({1, 2, 1, 1}).requires_grad_();
  const auto half = torch::full({1, 1, 1, 1}, 0.5F);
  const Step step{.clean = {}, .mean = mean, .std = half, .kl_std = 2 * half};
  const auto log_prob = step_log_prob(step, torch::tensor({1.5F, 3.F}).view({1, 2, 1, 1}));
  REQUIRE(log_prob.sizes() == at::IntArrayRef({1, 1, 1}));
  // Channels: -(.5 / .5)^2 / 2 = -.5 and 0; -log .5 - log sqrt(2 pi) for both.
  CHECK(std::abs(log_prob.item<double>() - (-0.25 + 0.693147 - 0.918939)) < 1e-5);
  log_prob.sum().backward();
  CHECK(torch::allclose(mean.grad().view({2}), torch::tensor({1.F, 0.F})));  // .5 / .25 / 2
  const auto kl = step_kl(step, torch::zeros({1, 2, 1, 1}));
  CHECK(std::abs(kl.item<double>() - (1 + 9) / 2.0 / 2.0) < 1e-6);
}

TEST_CASE("A step without noise has no log-probability and no KL", "[generators][schedulers]") {
  const auto plan = plan_steps(stable_diffusion(), 4, 0);
  CHECK(plan.deterministic());
  const auto x = torch::ones({1, 2, 2, 2});
  const auto step = take_step(plan, all_at(0, 1), x, x);
  CHECK(torch::equal(step_log_prob(step, x), torch::zeros({1, 2, 2})));
  CHECK(torch::equal(step_kl(step, x), torch::zeros({1, 2, 2})));
  CHECK_FALSE(plan_steps(stable_diffusion(), 4, 1).deterministic());
}

TEST_CASE("plan_steps refuses what a sampler cannot do", "[generators][schedulers]") {
  auto options = stable_diffusion();
  CHECK_THROWS_MATCHES(plan_steps(options, 0, 0), ConfigError,
                       Says("num_steps must be in [1, 1000], got 0"));
  CHECK_THROWS_MATCHES(plan_steps(options, 10, 1.5), ConfigError, Says("must be in [0, 1]"));
  CHECK_THROWS_MATCHES(plan_steps(options, 1000, 0), ConfigError,
                       Says("steps_offset must leave the steps within the 1000 of training"));
  options.sampler = Sampler::kDdpm;
  CHECK_THROWS_MATCHES(plan_steps(options, 10, 0), ConfigError,
                       Says("stochasticity of sampler ddpm must be 1, got 0"));
  options.sampler = Sampler::kEuler;
  CHECK_THROWS_MATCHES(plan_steps(options, 10, 1), ConfigError,
                       Says("stochasticity of sampler euler must be 0"));
  options.sampler = Sampler::kFlow;
  CHECK_THROWS_MATCHES(plan_steps(options, 10, 0), ConfigError,
                       Says("sampler flow and prediction flow go together"));
  options = stable_diffusion();
  options.noise.zero_terminal_snr = true;
  options.spacing = Spacing::kTrailing;
  CHECK_THROWS_MATCHES(plan_steps(options, 10, 0), ConfigError, Says("got epsilon"));
}
