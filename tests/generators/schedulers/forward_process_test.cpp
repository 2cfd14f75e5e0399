#include "rahf/generators/schedulers/forward_process.h"

#include <torch/types.h>

#include "rahf/core/error.h"
#include "rahf/generators/schedulers/step_plan.h"
#include "support/catch.h"

using namespace rahf;
using namespace rahf::generators;

namespace {

const auto kClean = torch::linspace(-1, 1, 24).view({2, 3, 2, 2});
const auto kNoise = torch::linspace(2, -2, 24).view({2, 3, 2, 2});

}  // namespace

TEST_CASE("ForwardProcess gives states and targets from which a step finds the clean latents",
          "[generators][schedulers]") {
  const auto prediction =
      GENERATE(Prediction::kNoise, Prediction::kClean, Prediction::kVelocity, Prediction::kFlow);
  SchedulerOptions options{.prediction = prediction, .steps_offset = 1};
  if (prediction == Prediction::kFlow) options.sampler = Sampler::kFlow;
  const auto plan = plan_steps(options, 5, 0);
  const ForwardProcess process(options);
  for (std::int64_t i = 0; i < plan.size(); ++i) {
    const auto level = torch::full({2}, plan.level[i]);
    const auto corrupted = process.corrupt(kClean, kNoise, level);
    CHECK(torch::allclose(process.timesteps(level), plan.timesteps[i].expand({2}), 1e-4, 1e-3));
    CHECK(torch::allclose(corrupted.state, plan.signal[i] * kClean + plan.noise[i] * kNoise, 1e-4,
                          1e-5));
    const auto step =
        take_step(plan, torch::full({2}, i, torch::kLong), corrupted.state, corrupted.target);
    CHECK(torch::allclose(step.clean, kClean, 1e-4, 1e-4));
    CHECK(torch::allclose(process.clean(corrupted.target, corrupted), kClean, 1e-4, 1e-4));
  }
}

TEST_CASE("ForwardProcess takes each sample at its own level", "[generators][schedulers]") {
  const ForwardProcess process(SchedulerOptions{});
  const auto level = torch::tensor({0.F, 1.F});
  CHECK(torch::equal(process.timesteps(level), torch::tensor({0.F, 999.F})));
  const auto corrupted = process.corrupt(kClean, kNoise, level);
  // 1 - 0.00085 of the variance is left after the first step, 0.0046601 after the last.
  CHECK(torch::allclose(corrupted.state[0],
                        std::sqrt(0.99915F) * kClean[0] + std::sqrt(0.00085F) * kNoise[0], 1e-3,
                        1e-4));
  CHECK(torch::allclose(corrupted.state[1],
                        std::sqrt(0.0046601F) * kClean[1] + std::sqrt(1 - 0.0046601F) * kNoise[1],
                        1e-4, 1e-4));
}

TEST_CASE("ForwardProcess refuses noise of another shape", "[generators][schedulers]") {
  const ForwardProcess process(SchedulerOptions{});
  CHECK_THROWS_MATCHES(process.corrupt(kClean, kNoise.narrow(1, 0, 1), torch::zeros({2})),
                       ShapeError, Says("noise must be"));
}
