#include "rahf/core/train/checkpoint.h"

#include <fstream>

#include "rahf/core/error.h"
#include "support/catch.h"
#include "support/scratch.h"

using rahf::train::Checkpoints;

TEST_CASE("Checkpoints keeps the newest and finds the last", "[core][checkpoint]") {
  const ScratchFolder scratch;
  Checkpoints checkpoints(scratch / "run/checkpoints", 2);
  CHECK_FALSE(checkpoints.latest());
  for (const auto updates : {5, 10, 100}) {
    checkpoints.save(updates, {{"w", torch::full({2}, updates)}}, {});
  }
  REQUIRE(checkpoints.latest() == 100);
  CHECK(checkpoints.load(10).tensors.at("w")[0].item<float>() == 10);
  REQUIRE_THROWS_AS(checkpoints.load(5), rahf::FileError);
}

TEST_CASE("Checkpoints passes over files that are none", "[core][checkpoint]") {
  const ScratchFolder scratch;
  Checkpoints checkpoints(scratch.path(), 3);
  checkpoints.save(7, {{"w", torch::zeros({1})}}, {});
  std::ofstream(scratch / "00000009.safetensors.tmp") << "half";
  std::ofstream(scratch / "notes.safetensors") << "none";
  CHECK(checkpoints.latest() == 7);
}
