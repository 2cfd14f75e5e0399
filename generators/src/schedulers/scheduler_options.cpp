#include "rahf/generators/schedulers/scheduler_options.h"

#include <nlohmann/json.hpp>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/nn/config_file.h"

namespace rahf::generators {
namespace {

struct Published {
  std::string_view name;
  Sampler sampler;
};
constexpr std::array<Published, 5> kPublished{
    {{"DDIMScheduler", Sampler::kDdim},
     {"DDPMScheduler", Sampler::kDdpm},
     {"EulerDiscreteScheduler", Sampler::kEuler},
     {"DPMSolverMultistepScheduler", Sampler::kDpmSolver2M},
     {"FlowMatchEulerDiscreteScheduler", Sampler::kFlow}}};

template <class T>
void read_choice(const nn::ConfigFile& config, const char* key, T& value) {
  if (!config.has(key)) return;
  std::string text;
  config.read(key, text);
  try {
    option_text::read(text, value);
  } catch (const ConfigError& error) {
    throw ConfigError(config.name() + ": " + key + ' ' + error.what());
  }
}

/// Other values ask for another computation than this library's.
template <class T>
void require_value(const nn::ConfigFile& config, const char* key, T value) {
  T got = value;
  config.read(key, got);
  if (got == value) return;
  const auto text = [](const T& one) { return option_text::write(one); };
  throw ConfigError(config.name() + ": " + key + " must be " + text(value) + ", got " + text(got));
}

void require_absent(const nn::ConfigFile& config, const char* key) {
  if (config.has(key)) throw ConfigError(config.name() + ": " + key + " is not supported");
}

}  // namespace

void SchedulerOptions::validate(const std::string& where) const {
  noise.validate(where);
  if (steps_offset < 0) {
    throw ConfigError(where + ": steps_offset must be >= 0, got " + std::to_string(steps_offset));
  }
  if (!(clean_range >= 0)) {
    throw ConfigError(where + ": clean_range must be >= 0, got " + std::to_string(clean_range));
  }
  if (!(flow_shift > 0)) {
    throw ConfigError(where + ": flow_shift must be > 0, got " + std::to_string(flow_shift));
  }
  if ((sampler == Sampler::kFlow) != (prediction == Prediction::kFlow)) {
    throw ConfigError(where + ": sampler flow and prediction flow go together, got sampler " +
                      option_text::write(sampler) + " and prediction " +
                      option_text::write(prediction));
  }
}

std::string scheduler_class(Sampler sampler) {
  for (const auto& one : kPublished) {
    if (one.sampler == sampler) return std::string(one.name);
  }
  throw ConfigError("scheduler_class: unknown sampler");
}

SchedulerOptions scheduler_options(const std::filesystem::path& scheduler_config_json) {
  const nn::ConfigFile config(scheduler_config_json);
  std::string name;
  config.read("_class_name", name);
  SchedulerOptions options;
  bool known = name == "PNDMScheduler";
  for (const auto& one : kPublished) {
    if (one.name != name) continue;
    options.sampler = one.sampler;
    known = true;
  }
  if (!known) {
    throw ConfigError(config.name() +
                      ": _class_name must be that of a DDIM, DDPM, PNDM, Euler, "
                      "DPM-Solver or flow-matching Euler scheduler, got '" +
                      name + "'");
  }
  for (const char* flag :
       {"thresholding", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas",
        "use_lu_lambdas", "use_flow_sigmas", "use_dynamic_shifting", "invert_sigmas",
        "stochastic_sampling", "euler_at_final"}) {
    require_value(config, flag, false);
  }
  require_absent(config, "trained_betas");
  require_absent(config, "shift_terminal");
  require_value<std::string>(config, "algorithm_type", "dpmsolver++");
  require_value<std::int64_t>(config, "solver_order", 2);
  require_value<std::string>(config, "solver_type", "midpoint");
  require_value<std::string>(config, "final_sigmas_type", "zero");
  require_value<std::string>(config, "interpolation_type", "linear");
  require_value<std::string>(config, "timestep_type", "discrete");
  if (options.sampler == Sampler::kDdpm)
    require_value<std::string>(config, "variance_type", "fixed_small");

  // Absent keys have the published defaults, which differ from class to class.
  options.noise = {.betas = BetaSchedule::kLinear, .beta_start = 0.0001, .beta_end = 0.02};
  config.read("num_train_timesteps", options.noise.train_steps);
  if (options.sampler == Sampler::kFlow) {
    options.prediction = Prediction::kFlow;
    config.read("shift", options.flow_shift);
    options.validate(config.name());
    return options;
  }
  read_choice(config, "beta_schedule", options.noise.betas);
  config.read("beta_start", options.noise.beta_start);
  config.read("beta_end", options.noise.beta_end);
  config.read("rescale_betas_zero_snr", options.noise.zero_terminal_snr);
  read_choice(config, "prediction_type", options.prediction);
  if (options.sampler == Sampler::kEuler || options.sampler == Sampler::kDpmSolver2M) {
    options.spacing = Spacing::kLinspace;
  }
  read_choice(config, "timestep_spacing", options.spacing);
  config.read("steps_offset", options.steps_offset);
  options.final_alpha_one = name == "DDIMScheduler";
  config.read("set_alpha_to_one", options.final_alpha_one);
  bool clip = name == "DDIMScheduler" || name == "DDPMScheduler";
  config.read("clip_sample", clip);
  if (clip) {
    options.clean_range = 1;
    config.read("clip_sample_range", options.clean_range);
  }
  options.validate(config.name());
  return options;
}

void write_scheduler_config(const std::filesystem::path& scheduler_config_json,
                            const SchedulerOptions& options) {
  options.validate("write_scheduler_config");
  nlohmann::json json{{"_class_name", scheduler_class(options.sampler)},
                      {"num_train_timesteps", options.noise.train_steps}};
  if (options.sampler == Sampler::kFlow) {
    json["shift"] = options.flow_shift;
  } else {
    json["beta_schedule"] = option_text::write(options.noise.betas);
    json["beta_start"] = options.noise.beta_start;
    json["beta_end"] = options.noise.beta_end;
    json["rescale_betas_zero_snr"] = options.noise.zero_terminal_snr;
    json["prediction_type"] = option_text::write(options.prediction);
    json["timestep_spacing"] = option_text::write(options.spacing);
    json["steps_offset"] = options.steps_offset;
    if (options.sampler == Sampler::kDdim) json["set_alpha_to_one"] = options.final_alpha_one;
    if (options.sampler == Sampler::kDdim || options.sampler == Sampler::kDdpm) {
      json["clip_sample"] = options.clean_range > 0;
      if (options.clean_range > 0) json["clip_sample_range"] = options.clean_range;
    }
  }
  io::write_atomically(scheduler_config_json, json.dump(2) + "\n");
}

}  // namespace rahf::generators
