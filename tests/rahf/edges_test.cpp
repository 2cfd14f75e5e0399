// What may be asked of the program by mistake: outputs that are inputs, numbers that no machine
// has, places that cannot be written.
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "outputs.h"
#include "program.h"
#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "support/captured.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

namespace fs = std::filesystem;
using rahf::program::run_program;

namespace {

/// Status and complaints of one call.
struct Outcome {
  int status;
  std::string complaints;
};
Outcome call(const std::vector<std::string>& arguments) {
  const Captured standard(std::cout), error(std::cerr);
  const int status = run_program(arguments);
  return {status, error.text()};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("check_output refuses inputs, and files of another kind", "[program][edges]") {
  using rahf::program::check_output;
  const ScratchFolder scratch;
  const auto file = scratch / "a.h5";
  const auto kind = rahf::program::is_hdf5;
  CHECK_NOTHROW(check_output(file, {"", (scratch / "none").string()}, kind));
  rahf::io::write_atomically(file, "notes");
  REQUIRE_THROWS_MATCHES(check_output(file, {}, kind), rahf::FileError,
                         Says("a.h5: would be written over, but is not what this program writes"));
  rahf::io::write_atomically(file, "\x89HDF\r\n\x1a\n...");
  CHECK_NOTHROW(check_output(file, {}, kind));
  fs::create_symlink(file, scratch / "link");
  REQUIRE_THROWS_MATCHES(check_output(file, {(scratch / "link").string()}, kind), rahf::FileError,
                         Says("a.h5: is an input and would be written over"));
}

TEST_CASE("no verb writes over its input or over what it did not write", "[program][edges]") {
  const ScratchFolder scratch;
  const auto file = (scratch / "mine").string();
  const std::string mine = "mine\n";
  rahf::io::write_atomically(file, mine);
  rahf::io::write_atomically(scratch / "annotations.jsonl", mine);
  rahf::io::write_atomically(scratch / "predictions.csv", "file,prompt\n");
  rahf::io::write_atomically(scratch / "inspection.json", mine);
  rahf::io::write_atomically(scratch / "stats.txt", mine);
  const auto folder = scratch.path().string();
  const std::vector<std::vector<std::string>> calls = {
      {"dataset", "consolidate", "--annotations", file, "--pictures", folder, "--out", file},
      {"dataset", "consolidate", "--annotations", "none", "--pictures", folder, "--out", file},
      {"predict", "--model", "none", "--prompts", folder + "/predictions.csv", "--out", folder},
      {"overview", "--model", "none", "--data", "none", "--out", file},
      {"dataset", "stats", "none.h5", "--out", folder},
      {"inspect", "x.png", "--prompt", "a", "--out", folder},
      {"inspect", "--contact-sheet", file},
      {"world", "--count", "1", "--out", folder}};
  for (const auto& arguments : calls) {
    CAPTURE(arguments);
    const auto outcome = call(arguments);
    CHECK(outcome.status == 1);
    CHECK(contains(outcome.complaints, "would be written over"));
  }
  CHECK(rahf::io::read_file(file) == mine);
  CHECK(rahf::io::read_file(scratch / "annotations.jsonl") == mine);
}

TEST_CASE("numbers of threads and pixels have a range, which the error names", "[program][edges]") {
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& text) {
    CAPTURE(arguments);
    const auto outcome = call(arguments);
    CHECK(outcome.status == 2);
    CHECK_THAT(std::runtime_error(outcome.complaints), Says(text));
  };
  refused({"world", "--count", "1", "--out", "x", "--threads", "100000"},
          "--threads must be in [0, 1024], got 100000");
  refused({"world", "--count", "1", "--out", "x", "--threads", "-1"},
          "--threads must be in [0, 1024], got -1");
  refused({"train", "--data", "x", "--out", "x", "--loader-threads", "50000"}, "in [1, 256]");
  refused({"train", "--data", "x", "--out", "x", "--parallel", "50000"}, "in [1, 256]");
  refused({"predict", "--model", "x", "a.png", "--prompt", "x", "--out", "x", "--max-pixels", "0"},
          "--max-pixels must be in [1, 268435456], got 0");
}

TEST_CASE("an --out that is not UTF-8 is refused before work begins", "[program][edges]") {
  const auto outcome = call({"world", "--count", "1", "--out", "caf\xe9"});
  CHECK(outcome.status == 2);
  CHECK(contains(outcome.complaints, "--out must be UTF-8, got 'caf\\xe9'"));
}

TEST_CASE("the program says its version, and LibTorch's", "[program][edges]") {
  const Captured standard(std::cout);
  CHECK(run_program({"--version"}) == 0);
  CHECK(standard.text().starts_with("rahf "));
  CHECK(contains(standard.text(), "LibTorch "));
}

TEST_CASE("the program fails where standard output cannot be written", "[program][edges]") {
  const auto program = "'" + rahf::test::program().string() + "' ";
  CHECK(std::system((program + "--version > /dev/null").c_str()) == 0);
  for (const std::string arguments : {"--version", "--help", "world --help"}) {
    CAPTURE(arguments);
    const int status = std::system((program + arguments + " > /dev/full 2> /dev/null").c_str());
    CHECK(WEXITSTATUS(status) == 1);
  }
}
