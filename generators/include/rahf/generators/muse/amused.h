#pragma once

#include <memory>

#include "rahf/generators/autoencoder/vq_model.h"
#include "rahf/generators/muse/muse.h"
#include "rahf/generators/pipeline_folder.h"
#include "rahf/generators/text_condition.h"

namespace rahf::generators {

/// The parts of an AmusedPipeline.
struct AmusedParts {
  UVit2DModel transformer{nullptr};
  VQModel vqvae{nullptr};
  std::shared_ptr<TextCondition> text;  ///< With TextLayer::kPenultimate and a projection.
  MaskSchedule schedule = MaskSchedule::kCosine;
  bool train_text = false;  ///< The text encoder is trained along; `text` must be trainable, too.
};

/// A generator of these parts, which it shares and moves to `device`. The autoencoder stays f32 and
/// is not trained.
/// @param dtype  of the transformer's weights
/// @throws ConfigError if the parts do not fit each other.
std::unique_ptr<Muse> make_amused(AmusedParts parts, torch::Device device,
                                  torch::Dtype dtype = torch::kFloat);

/// The parts of a pipeline folder, f32 on the CPU but for the text encoder on `device`.
/// @throws FileError, ConfigError, CheckpointError as the parts' own loaders.
AmusedParts load_amused_parts(const PipelineFolder& folder, torch::Device device,
                              bool train_text = false);

/// Both in one.
std::unique_ptr<Muse> load_amused(const PipelineFolder& folder, torch::Device device);

}  // namespace rahf::generators
