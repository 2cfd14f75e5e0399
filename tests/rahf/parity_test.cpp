#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "rahf/core/io/safetensors.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"
#include "verbs.h"

using rahf::program::run_parity;

namespace {

/// Standard output of one call.
struct Captured {
  int status;
  std::string out;
};
Captured captured(const std::vector<std::string>& arguments) {
  std::ostringstream text;
  auto* before = std::cout.rdbuf(text.rdbuf());
  try {
    const int status = run_parity(arguments);
    std::cout.rdbuf(before);
    return {status, text.str()};
  } catch (...) {
    std::cout.rdbuf(before);
    throw;
  }
}

}  // namespace

TEST_CASE("rahf parity passes at the tolerance and fails above it", "[program][parity]") {
  const std::string folder = rahf::test::fixtures() / "nn/t5";
  const auto passed = captured(
      {"--module", "t5", "--weights", folder, "--case", folder + "/case.safetensors", "--json"});
  CHECK(passed.status == 0);
  const auto report = nlohmann::json::parse(passed.out);
  CHECK(report.at("passed") == true);
  CHECK(report.at("largest_difference").at("greedy") == 0);
  CHECK(report.at("largest_difference").at("logits") <= 1e-5);

  const ScratchFolder scratch;
  const auto file = scratch / "case.safetensors";
  auto tensors = rahf::io::read_safetensors(folder + "/case.safetensors").tensors;
  auto logits = tensors.at("output.logits").clone();
  logits[0][0][0] += 0.5;
  tensors["output.logits"] = logits;
  rahf::io::write_safetensors(file, tensors);
  const auto failed = captured({"--module", "t5", "--weights", folder, "--case", file.string()});
  CHECK(failed.status == 1);
  CHECK(failed.out.find("logits: 0.5") != std::string::npos);
  CHECK(captured(
            {"--module", "t5", "--weights", folder, "--case", file.string(), "--tolerance", "0.6"})
            .status == 0);
}

TEST_CASE("rahf parity rejects an unknown module and a missing option", "[program][parity]") {
  REQUIRE_THROWS_MATCHES(run_parity({"--module", "vgg", "--weights", "a", "--case", "b"}),
                         rahf::UsageError, Says(", got vgg"));
  REQUIRE_THROWS_MATCHES(run_parity({"--module", "t5", "--weights", "a"}), rahf::UsageError,
                         Says("--case is required"));
}
