#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "program.h"
#include "support/captured.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using nlohmann::json;
using rahf::program::run_program;

namespace {

/// A dataset of the closed world, its truth, and an all but untrained reward.
struct SmallRun {
  ScratchFolder scratch;
  std::string world = (scratch / "world").string();
  std::string data = (scratch / "data.h5").string();
  std::string run = (scratch / "run").string();

  SmallRun() {
    const Captured out(std::cout);
    REQUIRE(run_program({"world", "--count", "12", "--seed", "4", "--out", world, "--quiet"}) == 0);
    REQUIRE(run_program({"dataset", "consolidate", "--annotations", world + "/annotations.jsonl",
                         "--pictures", world + "/pictures", "--out", data, "--quiet"}) == 0);
    const std::string config = rahf::test::source_folder() / "configs/rahf-tiny-multi-head.cfg";
    REQUIRE(run_program({"train", "--config",
                         config,  "--data",
                         data,    "--out",
                         run,     "--stage.1.updates",
                         "1",     "--stage.2.updates",
                         "1",     "--stage.2.pictures",
                         "all",   "--stage.3.updates",
                         "1",     "--stage.4.updates",
                         "1",     "--batch_size",
                         "2",     "--quiet"}) == 0);
  }

  std::string evaluate(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {
        "evaluate", "--data", data, "--quiet", "--bootstrap.resamples", "20"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    Captured out(std::cout);
    REQUIRE(run_program(arguments) == 0);
    return out.text();
  }
};

void check_shape(const json& figures) {
  for (const auto* score : {"plausibility", "alignment", "aesthetics", "overall"}) {
    CHECK(figures.at("scores").at(score).count("plcc") == 1);
    CHECK(figures.at("scores").at(score).count("srcc") == 1);
  }
  for (const auto* map : {"implausibility", "misalignment"}) {
    for (const auto* name : {"cc", "auc_judd", "mse"}) {
      CHECK(figures.at("maps").at(map).at(name).is_number());
    }
  }
  for (const auto* name : {"precision", "recall", "f1"}) {
    CHECK(figures.at("keywords").at(name).is_number());
  }
}

}  // namespace

TEST_CASE("rahf evaluate prints figures and ceilings for programs and for people",
          "[program][evaluate]") {
  const SmallRun small;
  const auto model = small.run + "/model", truth = small.world + "/truth.h5";

  const auto one = json::parse(small.evaluate({"--model", model, "--json"}));
  check_shape(one);
  check_shape(one.at("ceiling"));
  CHECK(one.count("keywords_greedy") == 1);
  CHECK(one.at("pictures") == 12);
  CHECK(one.count("ceiling_truth") == 0);

  const auto two = json::parse(
      small.evaluate({"--model", model + "," + model, "--json", "--baselines", "--truth", truth,
                      "--strata_words", "above,below,left,right", "--limit", "8"}));
  REQUIRE(two.at("models").size() == 2);
  check_shape(two["models"][1]);
  CHECK(two["models"][0]["model"] == model);
  CHECK(two["models"][0]["scores"] == two["models"][1]["scores"]);
  CHECK(two.at("ceiling_truth").at("maps").at("implausibility").at("separation_auc") == 1);
  CHECK(two.at("baselines").count("coloured pixels") == 1);
  const auto& strata = two["ceiling"]["strata"];
  CHECK(strata["with"]["pictures"].get<int>() + strata["without"]["pictures"].get<int>() == 8);

  const auto table = small.evaluate({"--model", model, "--no_greedy", "--batch", "5"});
  CHECK(table.find("annotator") != std::string::npos);
  CHECK(table.find("separation_auc") != std::string::npos);
  CHECK(table.find("greedy") == std::string::npos);
}

TEST_CASE("rahf evaluate says what it lacks", "[program][evaluate][errors]") {
  const Captured error(std::cerr);
  SECTION("data") {
    CHECK(run_program({"evaluate"}) == 2);
    CHECK(error.text().find("--data is required") != std::string::npos);
  }
  SECTION("a sensible option") {
    CHECK(run_program({"evaluate", "--data", "x.h5", "--batch", "0"}) == 2);
    CHECK(error.text().find("--batch must be > 0") != std::string::npos);
  }
  SECTION("a file") {
    CHECK(run_program({"evaluate", "--data", "none.h5"}) == 1);
    CHECK(error.text().find("none.h5") != std::string::npos);
  }
}
