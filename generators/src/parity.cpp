#include "rahf/generators/parity.h"

#include <ATen/core/grad_mode.h>

#include "rahf/generators/autoencoder/autoencoder_kl.h"
#include "rahf/generators/autoencoder/vq_model.h"
#include "rahf/generators/diffusion/unet.h"
#include "rahf/generators/schedulers/step_plan.h"

namespace rahf::generators {

io::TensorMap vae_outputs(const std::filesystem::path& folder, const nn::ParityCase& test) {
  const torch::NoGradGuard no_grad;
  auto model = load_autoencoder_kl(folder);
  const auto posterior = model->encode(test.input("sample"));
  return {{"mean", posterior.mean},
          {"logvar", posterior.log_variance},
          {"sample", model->decode(test.input("latents"))}};
}

io::TensorMap vq_model_outputs(const std::filesystem::path& folder, const nn::ParityCase& test) {
  const torch::NoGradGuard no_grad;
  auto model = load_vq_model(folder);
  const auto z = model->encode(test.input("sample"));
  const auto quantised = model->quantise(z);
  return {{"latents", z},
          {"ids", quantised.ids},
          {"commitment", quantised.commitment.mean().view({1})},
          {"sample", model->decode_ids(quantised.ids)}};
}

io::TensorMap unet_outputs(const std::filesystem::path& folder, const nn::ParityCase& test) {
  const torch::NoGradGuard no_grad;
  auto model = load_unet(folder);
  return {{"sample", model->forward(test.input("sample"), test.input("timestep"),
                                    test.input("encoder_hidden_states"))}};
}

io::TensorMap scheduler_outputs(const std::filesystem::path& folder, const nn::ParityCase& test) {
  const auto& predictions = test.input("predictions");
  const auto& noise = test.input("noise");
  const auto T = predictions.size(0), batch = predictions.size(1);
  const auto plan = plan_steps(scheduler_options(folder / "scheduler_config.json"), T,
                               test.input("stochasticity").item<float>());
  const auto expected = test.expected.find("states");
  torch::Tensor x = test.input("start"), before = x, clean;
  std::vector<torch::Tensor> states, log_probs;
  for (std::int64_t i = 0; i < T; ++i) {
    const auto at = torch::full({batch}, i, torch::kLong);
    const auto step = take_step(plan, at, x, predictions[i], clean);
    x = step.mean + step.std * noise[i];
    clean = step.clean;
    states.push_back(x);
    if (expected == test.expected.end() || plan.deterministic()) continue;
    log_probs.push_back(
        step_log_prob(take_step(plan, at, before, predictions[i]), expected->second[i])
            .mean({1, 2}));
    before = expected->second[i];
  }
  io::TensorMap outputs{{"timesteps", plan.timesteps}, {"states", torch::stack(states)}};
  if (!log_probs.empty()) outputs["log_prob"] = torch::stack(log_probs);
  return outputs;
}

}  // namespace rahf::generators
