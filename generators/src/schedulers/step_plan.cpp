#include "rahf/generators/schedulers/step_plan.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "plans.h"
#include "rahf/core/error.h"
#include "rahf/core/shapes.h"

namespace rahf::generators {
namespace {

Planned planned_steps(const SchedulerOptions& options, std::int64_t num_steps,
                      double stochasticity) {
  const auto require = [&](double value, const char* name) {
    if (stochasticity == value) return;
    throw ConfigError("plan_steps: stochasticity of sampler " + std::string(name) + " must be " +
                      std::to_string(static_cast<int>(value)) + ", got " +
                      std::to_string(stochasticity) + " (sampler ddim takes both)");
  };
  switch (options.sampler) {
    case Sampler::kDdim:
      return plan_ddim(options, num_steps, stochasticity);
    case Sampler::kDdpm:
      require(1, "ddpm");
      return plan_ddpm(options, num_steps);
    case Sampler::kEuler:
      require(0, "euler");
      return plan_euler(options, num_steps);
    case Sampler::kDpmSolver2M:
      require(0, "dpm-solver-2m");
      return plan_dpm_solver(options, num_steps);
    case Sampler::kFlow:
      return plan_flow(options, num_steps, stochasticity);
  }
  throw ConfigError("plan_steps: unknown sampler");
}

}  // namespace

bool StepPlan::deterministic() const {
  return std::all_of(steps.begin(), steps.end(), [](const auto& step) { return step.std == 0; });
}

StepPlan plan_steps(const SchedulerOptions& options, std::int64_t num_steps, double stochasticity) {
  options.validate("plan_steps");
  if (num_steps < 1 || num_steps > options.noise.train_steps) {
    throw ConfigError("plan_steps: num_steps must be in [1, " +
                      std::to_string(options.noise.train_steps) + "], got " +
                      std::to_string(num_steps));
  }
  if (!(stochasticity >= 0)) {
    throw ConfigError("plan_steps: stochasticity must be >= 0, got " +
                      std::to_string(stochasticity));
  }
  auto [plan, timesteps] = planned_steps(options, num_steps, stochasticity);
  plan.signal.push_back(1);
  plan.noise.push_back(0);
  plan.level.push_back(0);
  plan.timesteps = torch::tensor(timesteps, torch::kDouble).to(torch::kFloat);
  plan.table = torch::empty({num_steps, 8}, torch::kFloat);
  auto* row = plan.table.data_ptr<float>();
  for (const auto& step : plan.steps) {
    for (const double value :
         {step.clean_state, step.clean_prediction, step.mean_state, step.mean_prediction,
          step.mean_clean, step.mean_before, step.std, step.kl_std}) {
      *row++ = static_cast<float>(value);
    }
  }
  return plan;
}

Step take_step(const StepPlan& plan, const torch::Tensor& steps, const torch::Tensor& state,
               const torch::Tensor& prediction, const torch::Tensor& clean_before) {
  Shapes shapes("take_step");
  shapes.check("steps", steps, {"B"}, torch::kLong);
  shapes.check("state", state, {"B", "C", "h", "w"});
  shapes.check("prediction", prediction, {"B", "C", "h", "w"});
  if (clean_before.defined()) shapes.check("clean_before", clean_before, {"B", "C", "h", "w"});
  const auto rows = plan.table.index_select(0, steps).to(state.device()).view({-1, 8, 1, 1, 1});
  const auto column = [&](std::int64_t i) { return rows.select(1, i); };  // [B, 1, 1, 1]
  const auto x = state.to(torch::kFloat), p = prediction.to(torch::kFloat);
  Step step;
  step.clean = column(0) * x + column(1) * p;
  if (plan.clean_range > 0) step.clean = step.clean.clamp(-plan.clean_range, plan.clean_range);
  step.mean = column(2) * x + column(3) * p + column(4) * step.clean +
              column(5) * (clean_before.defined() ? clean_before : step.clean);
  step.std = column(6);
  step.kl_std = column(7);
  return step;
}

torch::Tensor step_log_prob(const Step& step, const torch::Tensor& next) {
  const auto drawn = step.std > 0;
  const auto std = step.std.masked_fill(~drawn, 1);
  const auto offset = (next.detach().to(torch::kFloat) - step.mean) / std;
  const auto log_prob = -0.5 * offset.square() - std.log() - 0.5 * std::log(2 * std::numbers::pi);
  return log_prob.mean(1) * drawn.squeeze(1);
}

torch::Tensor step_kl(const Step& step, const torch::Tensor& reference_mean) {
  const auto drawn = step.kl_std > 0;
  const auto std = step.kl_std.masked_fill(~drawn, 1);
  const auto offset = (step.mean - reference_mean) / std;
  return 0.5 * offset.square().mean(1) * drawn.squeeze(1);
}

}  // namespace rahf::generators
