#include "rahf/generators/parity.h"

#include <ATen/core/grad_mode.h>

#include "rahf/generators/autoencoder/autoencoder_kl.h"
#include "rahf/generators/autoencoder/vq_model.h"
#include "rahf/generators/diffusion/unet.h"

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

}  // namespace rahf::generators
