#include "rahf/core/train/run_folder.h"

#include <fstream>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf::train;
using rahf::ConfigError;

namespace {

struct Step {
  std::int64_t length = 5;
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("length", self.length, "");
  }
};

struct Options {
  std::int64_t width = 3;
  std::int64_t every = 10;
  std::vector<rahf::Overrides<Step>> steps;
  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("width", self.width, "");
    visit("every", self.every, "");
    visit("step", self.steps, "");
  }
};

const std::vector<rahf::Overrides<Step>> kSteps = {{}, {{{"length", "7"}}}};

RunIdentity identity(const Options& options, const std::string& hash = "17") {
  return run_identity(options, {"every"}, {{"data.hash", hash}});
}

}  // namespace

TEST_CASE("RunFolder writes what the run is and takes the same run up again",
          "[core][run_folder]") {
  const ScratchFolder scratch;
  const auto folder = scratch / "run";
  RunFolder({.folder = folder}, identity({.steps = kSteps}));
  CHECK(rahf::io::read_file(folder / "run.cfg") == "width = 3\nevery = 10\nstep.2.length = 7\n");
  const auto facts = rahf::io::read_file(folder / "run.json");
  CHECK(facts.find("\"data.hash\": \"17\"") != std::string::npos);
  CHECK(facts.find("\"threads\": \"") != std::string::npos);
  CHECK(facts.find("\"torch\": \"2.") != std::string::npos);

  RunFolder again({.folder = folder, .resume = true}, identity({.every = 20, .steps = kSteps}));
  CHECK_FALSE(again.checkpoints().latest());
}

TEST_CASE("RunFolder refuses another run by name", "[core][run_folder][errors]") {
  const ScratchFolder scratch;
  const auto folder = scratch / "run";
  const Options options{.steps = {{{{"length", "7"}}}}};
  RunFolder({.folder = folder}, identity(options));
  const auto resume = [&](const Options& other, const std::string& hash) {
    RunFolder({.folder = folder, .resume = true}, identity(other, hash));
  };
  REQUIRE_THROWS_MATCHES(RunFolder({.folder = folder}, identity(options)), ConfigError,
                         Says("holds a run already"));
  REQUIRE_THROWS_MATCHES(resume({.width = 4, .steps = options.steps}, "17"), ConfigError,
                         Says("has 'width = 3', this one 'width = 4'"));
  REQUIRE_THROWS_MATCHES(resume({.steps = {{{{"length", "8"}}}}}, "17"), ConfigError,
                         Says("has 'step.1.length = 7', this one 'step.1.length = 8'"));
  REQUIRE_THROWS_MATCHES(resume(options, "18"), ConfigError,
                         Says("has 'data.hash = 17', this one 'data.hash = 18'"));

  std::ofstream(folder / "run.json") << R"({"torch": "1.0", "threads": "1", "data.hash": "17"})";
  REQUIRE_THROWS_MATCHES(resume(options, "17"), ConfigError, Says("run.json: the run"));
}

TEST_CASE("RunFolder compares by name: order does not matter and absent is the default",
          "[core][run_folder]") {
  const ScratchFolder scratch;
  const auto folder = scratch / "run";
  RunFolder({.folder = folder}, identity({.width = 4}));
  std::ofstream(folder / "run.cfg") << "every = 10\nwidth = 4\n";
  RunFolder({.folder = folder, .resume = true}, identity({.width = 4}));
  std::ofstream(folder / "run.cfg") << "every = 10\n";
  REQUIRE_THROWS_MATCHES(RunFolder({.folder = folder, .resume = true}, identity({.width = 4})),
                         ConfigError, Says("has 'width = 3', this one 'width = 4'"));
  std::ofstream(folder / "run.cfg") << "width = 4\nold_option = 1\n";
  REQUIRE_THROWS_MATCHES(RunFolder({.folder = folder, .resume = true}, identity({.width = 4})),
                         ConfigError, Says("has 'old_option = 1', this one 'old_option = '"));
}

TEST_CASE("RunFolder sweeps what a kill left of unfinished writes", "[core][run_folder]") {
  const ScratchFolder scratch;
  const auto folder = scratch / "run";
  RunFolder({.folder = folder}, identity({}));
  for (const auto& left : {folder / ".rahf-a1B2c3", folder / "checkpoints/.rahf-QWERTY"}) {
    std::filesystem::create_directories(left);
    std::ofstream(left / "00000007.safetensors") << "half";
  }
  std::filesystem::create_directories(folder / "notes");
  RunFolder({.folder = folder, .resume = true}, identity({}));
  CHECK_FALSE(std::filesystem::exists(folder / ".rahf-a1B2c3"));
  CHECK_FALSE(std::filesystem::exists(folder / "checkpoints/.rahf-QWERTY"));
  CHECK(std::filesystem::exists(folder / "notes"));
}
