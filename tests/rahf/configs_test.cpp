#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "program.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

namespace fs = std::filesystem;

namespace {

// What the first line, "# rahf VERB... --config FILE", says before --config.
std::vector<std::string> verb_of(const fs::path& config) {
  std::ifstream file(config);
  std::string line, word;
  std::getline(file, line);
  std::istringstream words(line);
  REQUIRE((words >> word && word == "#" && words >> word && word == "rahf"));
  std::vector<std::string> verb;
  while (words >> word && word != "--config") verb.push_back(word);
  REQUIRE(word == "--config");
  REQUIRE((words >> word && word == "configs/" + config.filename().string()));
  return verb;
}

}  // namespace

TEST_CASE("every shipped config is accepted by the verb that its first line names",
          "[program][configs]") {
  for (const auto& entry : fs::directory_iterator(rahf::test::source_folder() / "configs")) {
    if (entry.path().extension() != ".cfg") continue;
    CAPTURE(entry.path());
    auto arguments = verb_of(entry.path());
    arguments.insert(arguments.end(), {"--config", entry.path().string(), "--check"});
    CHECK(rahf::program::run_program(arguments) == 0);
  }
}

TEST_CASE("a config with an unknown key is refused", "[program][configs]") {
  const ScratchFolder scratch;
  const auto config = scratch / "unknown.cfg";
  std::ofstream(config) << "no_such_option = 1\n";
  CHECK(rahf::program::run_program({"world", "--config", config.string(), "--check"}) == 2);
}
