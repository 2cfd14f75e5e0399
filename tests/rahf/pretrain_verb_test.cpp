#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "program.h"
#include "rahf/core/io/safetensors.h"
#include "support/captured.h"
#include "support/catch.h"
#include "support/scratch.h"

namespace fs = std::filesystem;
using rahf::program::run_program;

namespace {

/// A few updates of a VQModel that learns nothing in them.
std::vector<std::string> tiny_vq(const fs::path& out) {
  return {"pretrain",
          "--kind=vq",
          "--world.preset=easy",
          "--world.size=32",
          "--updates=3",
          "--batch-size=2",
          "--check-pictures=2",
          "--check-every=0",
          "--start-batches=1",
          "--model.block-out-channels=4,4",
          "--model.norm-num-groups=2",
          "--model.layers-per-block=1",
          "--model.latent-channels=2",
          "--model.num-vq-embeddings=8",
          "--quiet",
          "--json",
          "--out",
          out.string()};
}

}  // namespace

TEST_CASE("rahf pretrain leaves a model that names its command", "[program][pretrain]") {
  const ScratchFolder scratch;
  const Captured out(std::cout), err(std::cerr);
  auto arguments = tiny_vq(scratch / "run");
  arguments.insert(arguments.end(), {"--half", "--note", "a test"});
  REQUIRE(run_program(arguments) == 0);
  const auto said = nlohmann::json::parse(out.text());
  CHECK(said["model"] == (scratch / "run/model").string());
  const auto file =
      rahf::io::read_safetensors(scratch / "run/model/diffusion_pytorch_model.safetensors");
  CHECK(file.metadata.at("command").find("rahf pretrain --kind=vq") == 0);
  CHECK(file.metadata.at("note") == "a test");
  CHECK(fs::exists(scratch / "run/run.cfg"));
}

TEST_CASE("rahf pretrain refuses what it does not know", "[program][pretrain]") {
  const ScratchFolder scratch;
  const Captured out(std::cout), err(std::cerr);
  CHECK(run_program({"pretrain", "--kind=gan", "--out", (scratch / "run").string()}) == 2);
  CHECK(err.text().find("--kind must be vq, vae, diffusion, muse or clip, got 'gan'") !=
        std::string::npos);
  CHECK(run_program({"pretrain", "--out", (scratch / "run").string()}) == 2);
  CHECK(err.text().find("--kind is required") != std::string::npos);
  auto arguments = tiny_vq(scratch / "run");
  REQUIRE(run_program(arguments) == 0);
  arguments.insert(arguments.end(), {"--resume", "--world-seed=9"});
  CHECK(run_program(arguments) == 2);  // other pictures
  CHECK(err.text().find("pictures") != std::string::npos);
}
