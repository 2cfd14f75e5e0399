#include "rahf/generators/schedulers/scheduler_options.h"

#include <torch/types.h>

#include <fstream>
#include <string>

#include "rahf/core/error.h"
#include "rahf/core/io/safetensors.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using namespace rahf::generators;

TEST_CASE("alphas_cumprod equals the reference's", "[generators][schedulers][parity]") {
  const auto expected =
      io::read_safetensors(rahf::test::fixtures() / "schedulers" / "alphas.safetensors").tensors;
  const auto check = [&](const char* name, const NoiseScheduleOptions& options) {
    INFO(name);
    CHECK((alphas_cumprod(options) - expected.at(name)).abs().max().item<float>() <= 1e-7);
  };
  check("linear", {.betas = BetaSchedule::kLinear, .beta_start = 0.0001, .beta_end = 0.02});
  check("scaled_linear", {});
  check("squaredcos_cap_v2", {.betas = BetaSchedule::kSquaredCosine});
  check("zero_snr", {.zero_terminal_snr = true});
}

TEST_CASE("scheduler_options reads published configurations", "[generators][schedulers]") {
  const auto read = [](const char* name) {
    return scheduler_options(rahf::test::fixtures() / "schedulers" / name /
                             "scheduler_config.json");
  };
  CHECK(read("ddim") == SchedulerOptions{.steps_offset = 1});
  CHECK(read("pndm") == SchedulerOptions{.steps_offset = 1});
  const NoiseScheduleOptions linear{
      .betas = BetaSchedule::kLinear, .beta_start = 0.0001, .beta_end = 0.02};
  CHECK(read("ddim_clipped") ==
        SchedulerOptions{.noise = linear, .final_alpha_one = true, .clean_range = 1});
  CHECK(read("euler_trailing") == SchedulerOptions{.sampler = Sampler::kEuler,
                                                   .prediction = Prediction::kVelocity,
                                                   .noise = {.zero_terminal_snr = true},
                                                   .spacing = Spacing::kTrailing,
                                                   .steps_offset = 1});
  CHECK(read("flow") == SchedulerOptions{.sampler = Sampler::kFlow,
                                         .prediction = Prediction::kFlow,
                                         .noise = linear,
                                         .flow_shift = 3});
}

TEST_CASE("write_scheduler_config writes what scheduler_options reads",
          "[generators][schedulers]") {
  const ScratchFolder scratch;
  for (const auto& options : {
           SchedulerOptions{.steps_offset = 1, .final_alpha_one = true, .clean_range = 2},
           SchedulerOptions{.sampler = Sampler::kDdpm, .prediction = Prediction::kVelocity},
           SchedulerOptions{.sampler = Sampler::kDpmSolver2M,
           .noise = {.zero_terminal_snr = true},
           .spacing = Spacing::kTrailing},
           SchedulerOptions{.sampler = Sampler::kFlow,
           .prediction = Prediction::kFlow,
           .noise = {.betas = BetaSchedule::kLinear, .beta_start = 0.0001, .beta_end = 0.02},
           .flow_shift = 3},
       }) {
    write_scheduler_config(scratch / "scheduler_config.json", options);
    CHECK(scheduler_options(scratch / "scheduler_config.json") == options);
  }
}

TEST_CASE("scheduler_options refuses another computation by key", "[generators][schedulers]") {
  const ScratchFolder scratch;
  const auto file = scratch / "scheduler_config.json";
  const auto refuses = [&](const std::string& text, const std::string& part) {
    std::ofstream(file) << text;
    CHECK_THROWS_MATCHES(scheduler_options(file), Error, Says(part));
  };
  refuses("[]", "JSON object");
  refuses(R"({"_class_name": "LCMScheduler"})", "_class_name must be");
  refuses(R"({"_class_name": "DDIMScheduler", "thresholding": true})",
          "thresholding must be false, got true");
  refuses(R"({"_class_name": "DDIMScheduler", "beta_schedule": "sigmoid"})", "beta_schedule");
  refuses(R"({"_class_name": "DDIMScheduler", "steps_offset": "one"})", "steps_offset");
  refuses(R"({"_class_name": "DDIMScheduler", "beta_end": 2})", "beta_end must be in (0, 1)");
  refuses(R"({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true})",
          "use_dynamic_shifting must be false");
}
