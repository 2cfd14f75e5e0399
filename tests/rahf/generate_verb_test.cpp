#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "program.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/csv.h"
#include "rahf/core/io/image_file.h"
#include "support/captured.h"
#include "support/catch.h"
#include "support/scratch.h"
#include "tiny_pipelines_folder.h"

namespace fs = std::filesystem;
using nlohmann::json;
using rahf::program::run_program;

namespace {

/// The largest difference of two pictures, in levels.
int difference(const fs::path& one, const fs::path& other) {
  const auto a = rahf::io::read_image(one), b = rahf::io::read_image(other);
  REQUIRE(a.pixels.size() == b.pixels.size());
  int most = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) {
    most = std::max(most, std::abs(a.pixels[i] - b.pixels[i]));
  }
  return most;
}

}  // namespace

TEST_CASE("rahf generate gives a picture that does not depend on its batch",
          "[program][generate]") {
  const bool muse = GENERATE(false, true);
  CAPTURE(muse);
  const ScratchFolder scratch;
  const Captured out(std::cout), err(std::cerr);
  TinyPipelines pipelines(scratch / "made");
  const auto generator = muse ? pipelines.muse() : pipelines.diffusion();
  rahf::io::write_atomically(scratch / "p.txt", "a large red circle\ntwo small blue stars\n");
  const auto generate = [&](const std::string& folder, const std::string& batch) {
    REQUIRE(run_program({"generate", "--generator", generator, "--prompts",
                         (scratch / "p.txt").string(), "--count=2", "--seed=5", "--steps=3",
                         "--batch-size", batch, "--out", (scratch / folder).string(), "--quiet",
                         "--json"}) == 0);
  };
  generate("one", "1");
  generate("three", "3");
  // Rounding may differ with the batch: a level or two, or a rare token of Muse.
  for (const auto* name : {"00000.png", "00001.png", "00002.png", "00003.png"}) {
    CHECK(difference(scratch / "one" / name, scratch / "three" / name) <= 2);
  }
  CHECK(difference(scratch / "one/00000.png", scratch / "one/00001.png") > 0);
  CHECK(rahf::io::read_image(scratch / "one/grid.png").width == 4 * 32 + 3 * 2);
  const auto table = rahf::io::read_csv(scratch / "one/prompts.csv");
  REQUIRE(table.rows.size() == 4);
  CHECK(table.rows[3][table.column("prompt")] == "two small blue stars");
}

TEST_CASE("rahf compare finds a generator equal to itself", "[program][compare]") {
  const ScratchFolder scratch;
  std::string generator;
  {
    const Captured nothing(std::cout);
    generator = TinyPipelines(scratch / "made").diffusion();
  }
  const Captured out(std::cout), err(std::cerr);
  rahf::io::write_atomically(scratch / "p.txt", "a large red circle\ntwo small blue stars\n");
  REQUIRE(run_program({"compare", "--before", generator, "--after", generator, "--judge",
                       "inspector", "--prompts", (scratch / "p.txt").string(), "--seed=5",
                       "--steps=2", "--quiet", "--json"}) == 0);
  const auto said = json::parse(out.text());
  CHECK(said["pairs"] == 2);
  CHECK(said["scores"]["alignment"]["gain"] == 0);
  CHECK(said["scores"]["plausibility"]["shares"]["about_equal"] == 1);
}

TEST_CASE("rahf generate, inpaint and compare say what they lack", "[program][generate]") {
  const Captured out(std::cout), err(std::cerr);
  const auto says = [&](const std::vector<std::string>& arguments, const std::string& text) {
    CHECK(run_program(arguments) == 2);
    CAPTURE(err.text());
    CHECK(err.text().find(text) != std::string::npos);
  };
  says({"generate", "--out=x", "--prompt=a"}, "--generator is required");
  says({"generate", "--out=x", "--generator=y"}, "give --prompt or --prompts, and not both");
  says({"generate", "--out=x", "--generator=y", "--prompt=a", "--steps=0"}, "--steps must be > 0");
  says({"compare", "--before=x", "--after=y"}, "--prompts is required");
  says({"inpaint", "--generator=x", "--out=y"}, "--mask is required");
}

TEST_CASE("rahf inpaint keeps what the mask does not mark", "[program][inpaint]") {
  const ScratchFolder scratch;
  const Captured out(std::cout), err(std::cerr);
  const auto generator = TinyPipelines(scratch / "made").diffusion();
  rahf::Image picture(32, 32), mask(32, 32);
  std::fill(picture.pixels.begin(), picture.pixels.end(), std::uint8_t{200});
  for (std::int64_t y = 16; y < 32; ++y) std::fill(mask.at(y, 0), mask.at(y, 0) + 3 * 32, 255);
  rahf::io::write_image(scratch / "picture.png", picture);
  rahf::io::write_image(scratch / "mask.png", mask);
  const auto inpaint = [&](const std::string& mask_file) {
    return run_program({"inpaint", "--generator", generator, "--mask",
                        (scratch / mask_file).string(), (scratch / "picture.png").string(),
                        "--prompt=a large red circle", "--steps=4", "--out",
                        (scratch / "out").string(), "--quiet"});
  };
  REQUIRE(inpaint("mask.png") == 0);
  const auto redrawn = rahf::io::read_image(scratch / "out/picture.png");
  CHECK(std::equal(redrawn.at(0, 0), redrawn.at(8, 0), picture.at(0, 0)));
  CHECK_FALSE(std::equal(redrawn.at(20, 0), redrawn.at(31, 0), picture.at(20, 0)));
  rahf::io::write_image(scratch / "small.png", rahf::Image(16, 16));
  CHECK(inpaint("small.png") == 1);
  CHECK(err.text().find("must be 32 x 32 pixels") != std::string::npos);
}
