#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "program.h"
#include "support/captured.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using rahf::program::run_program;

// A change of the renderer, of the network or of how folders are read cannot spoil the demo unseen:
// these floors lie below what the shipped reward reaches on this world, far above chance.
TEST_CASE("the shipped reward stays above its floors on a small world", "[program][assets]") {
  const ScratchFolder scratch;
  const auto world = (scratch / "world").string(), data = (scratch / "data.h5").string();
  const std::string model = rahf::test::source_folder() / "examples/assets/rahf-tiny";
  {
    const Captured out(std::cout);
    REQUIRE(run_program({"world", "--count", "300", "--seed", "11", "--out", world, "--quiet"}) ==
            0);
    REQUIRE(run_program({"dataset", "consolidate", "--annotations", world + "/annotations.jsonl",
                         "--pictures", world + "/pictures", "--out", data, "--quiet"}) == 0);
  }
  nlohmann::json figures;
  {
    const Captured out(std::cout);
    REQUIRE(run_program({"evaluate", "--model", model, "--data", data, "--split", "all", "--truth",
                         world + "/truth.h5", "--no_greedy", "--bootstrap.resamples", "2",
                         "--quiet", "--json"}) == 0);
    figures = nlohmann::json::parse(out.text());
  }
  const auto above = [&](const std::string& pointer, double floor) {
    const auto value = figures.at(nlohmann::json::json_pointer(pointer)).get<double>();
    CAPTURE(pointer, value, floor);
    CHECK(value > floor);
  };
  above("/scores/plausibility/plcc", 0.75);
  above("/scores/alignment/plcc", 0.62);
  above("/scores/aesthetics/plcc", 0.75);
  above("/scores/overall/plcc", 0.65);
  above("/maps/implausibility/cc", 0.57);
  above("/maps/implausibility/separation_auc", 0.93);
  above("/maps/misalignment/cc", 0.55);
  above("/maps/misalignment/separation_auc", 0.72);
  above("/keywords/precision", 0.75);
  above("/keywords/f1", 0.65);
}
