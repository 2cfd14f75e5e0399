#include "rahf/generators/registry.h"

#include <map>
#include <string>

#include "rahf/core/error.h"
#include "rahf/generators/diffusion/stable_diffusion.h"
#include "rahf/generators/muse/amused.h"
#include "rahf/generators/pipeline_folder.h"

namespace rahf::generators {

namespace {

using Load = std::unique_ptr<Generator> (*)(const PipelineFolder& folder, c10::Device device);

std::unique_ptr<Generator> muse(const PipelineFolder& folder, c10::Device device) {
  return load_amused(folder, device);
}

std::unique_ptr<Generator> diffusion(const PipelineFolder& folder, c10::Device device) {
  return load_stable_diffusion(folder, device);
}

/// Every kind: one line per _class_name of a pipeline.
const std::map<std::string, Load>& loaders() {
  static const std::map<std::string, Load> all = {
      {"AmusedPipeline", muse},
      {"StableDiffusionInpaintPipeline", diffusion},
      {"StableDiffusionPipeline", diffusion},
  };
  return all;
}

}  // namespace

std::unique_ptr<Generator> load_generator(const std::filesystem::path& folder, c10::Device device) {
  const PipelineFolder pipeline(folder);
  const auto found = loaders().find(pipeline.class_name());
  if (found != loaders().end()) return found->second(pipeline, device);
  std::string known;
  for (const auto& [name, load] : loaders()) known += (known.empty() ? "" : ", ") + name;
  throw ConfigError(folder.string() + ": the pipeline must be one of " + known + ", got " +
                    pipeline.class_name());
}

}  // namespace rahf::generators
