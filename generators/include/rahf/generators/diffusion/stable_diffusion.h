#pragma once

#include <memory>
#include <variant>

#include "rahf/generators/autoencoder/autoencoder_kl.h"
#include "rahf/generators/autoencoder/vq_model.h"
#include "rahf/generators/diffusion/latent_diffusion.h"
#include "rahf/generators/diffusion/unet.h"
#include "rahf/generators/pipeline_folder.h"
#include "rahf/generators/text_condition.h"

namespace rahf::generators {

/// The parts of a StableDiffusionPipeline. The autoencoder may also be a VQModel, whose latents are
/// then taken before they are quantised.
struct StableDiffusionParts {
  UNet2DConditionModel unet{nullptr};
  std::variant<AutoencoderKL, VQModel> autoencoder{AutoencoderKL(nullptr)};
  std::shared_ptr<TextCondition> text;
  SchedulerOptions scheduler;
  bool train_text = false;  ///< The text encoder is trained along; `text` must be trainable, too.
};

/// A generator of these parts, which it shares and moves to `device`. A UNet with 2 C + 1 input
/// channels makes an inpainting model of latents with C channels.
/// @param dtype  of the UNet's weights; the other parts keep theirs
/// @throws ConfigError if the parts do not fit each other.
std::unique_ptr<LatentDiffusion> make_stable_diffusion(StableDiffusionParts parts,
                                                       torch::Device device,
                                                       torch::Dtype dtype = torch::kFloat);

/// The parts of a pipeline folder, f32 on the CPU but for the text encoder on `device`.
/// @throws FileError, ConfigError, CheckpointError as the parts' own loaders.
StableDiffusionParts load_stable_diffusion_parts(const PipelineFolder& folder, torch::Device device,
                                                 bool train_text = false);

/// Both in one.
std::unique_ptr<LatentDiffusion> load_stable_diffusion(const PipelineFolder& folder,
                                                       torch::Device device);

}  // namespace rahf::generators
