#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "program.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/csv.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/text/word_tokenizer.h"
#include "rahf/reward/model/rahf.h"
#include "support/captured.h"
#include "support/catch.h"
#include "support/scratch.h"

namespace fs = std::filesystem;
using nlohmann::json;
using rahf::program::run_program;

namespace {

// The folder of a RAHF for pictures of 16 x 16 that has learnt nothing.
std::string write_untrained(const fs::path& folder) {
  const rahf::text::WordTokenizer tokenizer({"a", "red", "cat", "_0"});
  rahf::reward::RahfOptions options;
  options.variant = rahf::reward::Variant::kMultiHead;
  options.vit.image_size = 16;
  options.vit.patch_size = 8;
  options.vit.width = options.vit.hidden = options.t5.d_model = options.t5.d_ff = 16;
  options.vit.heads = options.t5.num_heads = 2;
  options.t5.d_kv = 8;
  options.vit.layers = options.t5.num_layers = options.t5.num_decoder_layers = 1;
  options.t5.vocab_size = tokenizer.vocab_size();
  options.heatmap.entry = {8};
  options.heatmap.stages = {8, 8, 8};
  options.heatmap.readout = 8;
  options.score.channels = {8};
  options.score.hidden = {8};
  rahf::reward::RahfModel model(options);
  rahf::reward::save_rahf(folder, *model, tokenizer, {});
  return folder.string();
}

// Three pictures of different sizes and one broken file between them, with a list of prompts.
struct Pictures {
  ScratchFolder scratch;
  std::string model = write_untrained(scratch / "model");
  std::string out = (scratch / "out").string();
  std::string folder = (scratch / "in").string();
  std::string list = (scratch / "in/list.csv").string();

  Pictures() {
    rahf::io::write_image(scratch / "in/c.jpg", rahf::Image(16, 16));
    rahf::io::write_atomically(scratch / "in/b.png", "no picture");
    rahf::io::write_image(scratch / "in/a.webp", rahf::Image(20, 30));
    rahf::io::write_image(scratch / "in/d.PNG.png", rahf::Image(40, 8));
    rahf::io::write_atomically(list,
                               "prompt,file\n\"a red, \"\"fat\"\"\ncat\",c.jpg\na cat,a.webp\n"
                               "a,b.png\nred,d.PNG.png\n");
  }

  // With --model and --out. The status, and what it printed.
  int predict(std::vector<std::string> arguments) {
    const std::vector<std::string> always = {"predict", "--model", model, "--out", out, "--quiet"};
    arguments.insert(arguments.begin(), always.begin(), always.end());
    const Captured standard(std::cout), error(std::cerr);
    const int status = run_program(arguments);
    printed = standard.text();
    complaints = error.text();
    return status;
  }
  std::string printed, complaints;
};

std::vector<std::string> names(const json& entries) {
  std::vector<std::string> all;
  for (const auto& entry : entries) {
    all.push_back(fs::path(entry["picture"].get<std::string>()).filename().string());
  }
  return all;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("rahf predict judges a folder in order of names and says what it skipped",
          "[program][predict]") {
  Pictures pictures;
  CHECK(pictures.predict({pictures.folder, "--prompt", "a red cat", "--json", "--batch", "2"}) ==
        1);
  const auto printed = json::parse(pictures.printed);
  CHECK(names(printed["predictions"]) == std::vector<std::string>{"a.webp", "c.jpg", "d.PNG.png"});
  CHECK(names(printed["skipped"]) == std::vector<std::string>{"b.png"});
  CHECK(contains(pictures.complaints, "skipped " + pictures.folder + "/b.png: must be"));
  CHECK(contains(pictures.complaints, "3 of 4 pictures judged, 1 skipped"));
  CHECK(printed == json::parse(rahf::io::read_file(pictures.scratch / "out/predictions.json")));
  for (const char* kind : {"implausibility", "misalignment", "heat"}) {
    const auto map =
        rahf::io::read_image(pictures.scratch / ("out/a." + std::string(kind) + ".png"));
    CHECK(map.height == 20);
    CHECK(map.width == 30);
  }
  CHECK(fs::exists(pictures.scratch / "out/d.PNG.overlay.png"));
}

TEST_CASE("rahf predict takes prompts from a list, in the list's order or for pictures named",
          "[program][predict]") {
  Pictures pictures;
  SECTION("all of the list") {
    CHECK(pictures.predict({"--prompts", pictures.list, "--json"}) == 1);
    const auto predictions = json::parse(pictures.printed)["predictions"];
    CHECK(names(predictions) == std::vector<std::string>{"c.jpg", "a.webp", "d.PNG.png"});
    CHECK(predictions[0]["prompt"] == "a red, \"fat\"\ncat");
    CHECK(rahf::io::read_csv(pictures.scratch / "out/predictions.csv").rows[0][1] ==
          "a red, \"fat\"\ncat");
  }
  SECTION("pictures named, all of them readable") {
    CHECK(pictures.predict({pictures.folder + "/d.PNG.png", pictures.folder + "/a.webp",
                            "--prompts", pictures.list}) == 0);
    CHECK(contains(pictures.printed, "plausibility"));
    CHECK(pictures.printed.find("d.PNG.png") < pictures.printed.find("a.webp"));
  }
}

TEST_CASE("rahf predict refuses requests that make no sense", "[program][predict][errors]") {
  Pictures pictures;
  const auto picture = pictures.folder + "/a.webp";
  const auto refuses = [&](int status, const std::vector<std::string>& arguments,
                           const std::string& text) {
    CHECK(pictures.predict(arguments) == status);
    CHECK_THAT(std::runtime_error(pictures.complaints), Says(text));
  };
  refuses(2, {picture}, "either --prompt TEXT or --prompts FILE.csv is required");
  refuses(2, {picture, "--prompt", "x", "--prompts", pictures.list}, "either --prompt TEXT or");
  refuses(2, {"--prompt", "x"}, "--prompt needs PICTURE arguments");
  refuses(2, {picture, "--prompt", "x", "--batch", "0"}, "--batch must be > 0");
  refuses(2, {picture, "--prompt", "x", "--threshold", "2"}, "--threshold must be in [0, 1]");
  refuses(2, {picture, "--prompt", "x", "--device", "abacus"}, "--device must be cpu");
  refuses(1, {pictures.folder + "/e.png", "--prompts", pictures.list}, "holds no prompt for");

  fs::create_directory(pictures.scratch / "empty");
  refuses(2, {(pictures.scratch / "empty").string(), "--prompt", "x"}, "the folder holds no .png");
  rahf::io::write_atomically(pictures.list, "file,prompt\na.webp,x\na.webp,y\n");
  refuses(1, {picture, "--prompts", pictures.list}, "list.csv:3: a second prompt for");
  CHECK_FALSE(fs::exists(pictures.out));
}

TEST_CASE("rahf overview draws one row per picture", "[program][overview]") {
  const Pictures pictures;
  const auto world = (pictures.scratch / "world").string(), data = world + ".h5";
  const auto sheet = (pictures.scratch / "sheet.png").string();
  const Captured standard(std::cout);
  REQUIRE(run_program({"world", "--count", "6", "--seed", "3", "--out", world, "--quiet"}) == 0);
  REQUIRE(run_program({"dataset", "consolidate", "--annotations", world + "/annotations.jsonl",
                       "--pictures", world + "/pictures", "--out", data, "--quiet"}) == 0);
  const auto height = [&](const char* count) {
    REQUIRE(run_program({"overview", "--model", pictures.model, "--data", data, "--split", "all",
                         "--count", count, "--out", sheet}) == 0);
    return rahf::io::read_image(sheet).height;
  };
  const auto one = height("1"), two = height("2"), all = height("100");
  CHECK(two - one >= 216);
  CHECK(all - two >= 4 * 216);
}
