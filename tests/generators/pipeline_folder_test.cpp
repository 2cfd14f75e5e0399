#include "rahf/generators/pipeline_folder.h"

#include <fstream>

#include "rahf/core/error.h"
#include "rahf/generators/registry.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf;
using generators::PipelineFolder;

namespace {

void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file) << text;
}

}  // namespace

TEST_CASE("PipelineFolder reads the parts of a published model_index.json",
          "[generators][pipeline]") {
  const ScratchFolder folder;
  write(folder / "model_index.json", R"({
    "_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.6.0",
    "requires_safety_checker": false, "safety_checker": [null, null],
    "scheduler": ["diffusers", "PNDMScheduler"], "unet": ["diffusers", "UNet2DConditionModel"]})");
  std::filesystem::create_directory(folder / "unet");
  const PipelineFolder pipeline(folder.path());
  CHECK(pipeline.class_name() == "StableDiffusionPipeline");
  CHECK(pipeline.part_class("scheduler") == "PNDMScheduler");
  CHECK(pipeline.part("unet") == folder / "unet");
  CHECK_FALSE(pipeline.has("safety_checker"));
  CHECK_FALSE(pipeline.has("requires_safety_checker"));
  REQUIRE_THROWS_MATCHES(pipeline.part("vqvae"), FileError,
                         Says("the pipeline must have a part vqvae, model_index.json names "
                              "scheduler unet"));
  REQUIRE_THROWS_MATCHES(pipeline.part("scheduler"), FileError,
                         Says("the folder of the part scheduler is missing"));
}

TEST_CASE("PipelineFolder reads what write_model_index wrote", "[generators][pipeline]") {
  const ScratchFolder folder;
  generators::write_model_index(folder.path(), "AmusedPipeline",
                                {{"vqvae", "diffusers", "VQModel"}, {"safety_checker", "", ""}});
  const PipelineFolder pipeline(folder.path());
  CHECK(pipeline.class_name() == "AmusedPipeline");
  CHECK(pipeline.part_class("vqvae") == "VQModel");
  CHECK_FALSE(pipeline.has("safety_checker"));
}

TEST_CASE("PipelineFolder refuses a folder that is none", "[generators][pipeline]") {
  const ScratchFolder folder;
  REQUIRE_THROWS_MATCHES(PipelineFolder(folder.path()), FileError, Says("has no model_index.json"));
  write(folder / "model_index.json", R"({"unet": ["diffusers", "UNet2DConditionModel"]})");
  REQUIRE_THROWS_MATCHES(PipelineFolder(folder.path()), FileError, Says("_class_name"));
}

TEST_CASE("load_generator names the kinds that it knows", "[generators][pipeline]") {
  const ScratchFolder folder;
  generators::write_model_index(folder.path(), "FluxPipeline", {});
  REQUIRE_THROWS_MATCHES(generators::load_generator(folder.path(), c10::kCPU), ConfigError,
                         Says("the pipeline must be one of "));
}
