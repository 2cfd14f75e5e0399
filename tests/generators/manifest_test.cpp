#include "support/manifest.h"

#include "rahf/core/nn/layers.h"
#include "rahf/generators/autoencoder/autoencoder_kl.h"
#include "rahf/generators/autoencoder/vq_model.h"
#include "rahf/generators/diffusion/unet.h"
#include "rahf/generators/muse/uvit2d.h"
#include "support/catch.h"

using namespace rahf;
using rahf::test::manifest_differences;
using rahf::test::read_manifest;

// Models of published sizes, without the memory for their weights.

TEST_CASE("UNet2DConditionModel has the parameters of Stable Diffusion 1.5 and 2.1",
          "[generators][manifest]") {
  const nn::WithoutInitialisation scope;
  CHECK(manifest_differences(*generators::UNet2DConditionModel(), read_manifest("sd15.unet")) ==
        "");
  const generators::UNetOptions options{.cross_attention_dim = 1024,
                                        .attention_head_dim = {5, 10, 20, 20},
                                        .use_linear_projection = true,
                                        .upcast_attention = true};
  CHECK(manifest_differences(*generators::UNet2DConditionModel(options),
                             read_manifest("sd21.unet")) == "");
}

TEST_CASE("AutoencoderKL has the parameters of Stable Diffusion 1.5 and 3",
          "[generators][manifest]") {
  const nn::WithoutInitialisation scope;
  CHECK(manifest_differences(*generators::AutoencoderKL(), read_manifest("sd15.vae")) == "");
  generators::AutoencoderKLOptions options{.use_quant_conv = false, .use_post_quant_conv = false};
  options.coder.latent_channels = 16;
  CHECK(manifest_differences(*generators::AutoencoderKL(options), read_manifest("sd3.vae")) == "");
}

TEST_CASE("VQModel has the parameters of aMUSEd's", "[generators][manifest]") {
  const nn::WithoutInitialisation scope;
  CHECK(manifest_differences(*generators::VQModel(), read_manifest("amused.vqvae")) == "");
}

TEST_CASE("UVit2DModel has the parameters of aMUSEd's at 256 and 512 pixels",
          "[generators][manifest]") {
  const nn::WithoutInitialisation scope;
  CHECK(manifest_differences(*generators::UVit2DModel(), read_manifest("amused-256.transformer")) ==
        "");
  const generators::UVit2DOptions options{.downsample = true, .upsample = true, .sample_size = 32};
  CHECK(manifest_differences(*generators::UVit2DModel(options),
                             read_manifest("amused-512.transformer")) == "");
}

TEST_CASE("manifest_differences names what is surplus, missing or misshapen",
          "[generators][manifest]") {
  const nn::Linear layer(2, 3);
  CHECK(manifest_differences(*layer, {{"weight", {3, 2}}, {"bias", {3}}}) == "");
  CHECK(manifest_differences(*layer, {{"weight", {2, 3}}, {"scale", {3}}}) ==
        "weight must be [2, 3], is [3, 2]\nsurplus bias [3]\nmissing scale [3]\n");
}
