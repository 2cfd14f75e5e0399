#include "support/manifest.h"

#include "rahf/core/nn/clip.h"
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

TEST_CASE("CLIP has the parameters of the published towers", "[generators][manifest]") {
  const nn::WithoutInitialisation scope;
  const auto text = [](std::int64_t width, std::int64_t layers, std::int64_t heads,
                       nn::ClipActivation activation) {
    return nn::ClipTextOptions{.hidden_size = width,
                               .intermediate_size = 4 * width,
                               .num_hidden_layers = layers,
                               .num_attention_heads = heads,
                               .hidden_act = activation,
                               .projection_dim = width};
  };
  const auto large = text(768, 12, 12, nn::ClipActivation::kQuickGelu);
  CHECK(manifest_differences(*nn::ClipText(large), read_manifest("sd15.text_encoder")) == "");
  CHECK(manifest_differences(*nn::ClipText(large, nn::ClipHead::kProjection),
                             read_manifest("amused.text_encoder")) == "");
  CHECK(manifest_differences(*nn::ClipText(text(1024, 23, 16, nn::ClipActivation::kGelu)),
                             read_manifest("sd21.text_encoder")) == "");
  const nn::ClipOptions whole{.text_config = large,
                              .vision_config = {.hidden_size = 1024,
                                                .intermediate_size = 4096,
                                                .num_hidden_layers = 24,
                                                .num_attention_heads = 16,
                                                .patch_size = 14},
                              .projection_dim = 768};
  CHECK(manifest_differences(*nn::Clip(whole), read_manifest("clip-vit-l14")) == "");
  const nn::ClipOptions huge{.text_config = text(1024, 24, 16, nn::ClipActivation::kGelu),
                             .vision_config = {.hidden_size = 1280,
                                               .intermediate_size = 5120,
                                               .num_hidden_layers = 32,
                                               .num_attention_heads = 16,
                                               .patch_size = 14,
                                               .hidden_act = nn::ClipActivation::kGelu},
                             .projection_dim = 1024};
  CHECK(manifest_differences(*nn::Clip(huge), read_manifest("clip-vit-h14.pickscore")) == "");
}

TEST_CASE("manifest_differences names what is surplus, missing or misshapen",
          "[generators][manifest]") {
  const nn::Linear layer(2, 3);
  CHECK(manifest_differences(*layer, {{"weight", {3, 2}}, {"bias", {3}}}) == "");
  CHECK(manifest_differences(*layer, {{"weight", {2, 3}}, {"scale", {3}}}) ==
        "weight must be [2, 3], is [3, 2]\nsurplus bias [3]\nmissing scale [3]\n");
}
