#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "program.h"
#include "rahf/core/io/atomic_file.h"
#include "support/captured.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using rahf::program::run_program;

namespace {

/// A small dataset of the closed world, and the command line that learns from it.
struct World {
  ScratchFolder scratch;
  std::string data = (scratch / "data.h5").string();

  World() {
    const Captured out(std::cout);
    const auto world = (scratch / "world").string();
    REQUIRE(run_program({"world", "--count", "16", "--out", world, "--quiet"}) == 0);
    REQUIRE(run_program({"dataset", "consolidate", "--annotations", world + "/annotations.jsonl",
                         "--pictures", world + "/pictures", "--out", data, "--quiet"}) == 0);
  }

  std::vector<std::string> train(const std::string& run, bool resume) const {
    const std::string config = rahf::test::source_folder() / "configs/rahf-tiny-multi-head.cfg";
    const std::string out = (scratch / run).string();
    std::vector<std::string> arguments = {"train", "--config", config, "--data",
                                          data,    "--out",    out};
    // Twelve updates over all stages.
    for (const auto* more :
         {"--stage.1.updates", "4", "--stage.2.updates", "2", "--stage.2.pictures", "all",
          "--stage.3.updates", "3", "--stage.4.updates", "3", "--batch_size", "2", "--save_every",
          "1", "--threads", "1", "--quiet"}) {
      arguments.emplace_back(more);
    }
    if (resume) arguments.push_back("--resume");
    return arguments;
  }

  std::string model(const std::string& run) const {
    return rahf::io::read_file(scratch / run / "model/model.safetensors");
  }
};

/// Starts the program in a process of its own.
pid_t start(std::vector<std::string> arguments) {
  std::string program = rahf::test::program();
  std::vector<char*> pointers = {program.data()};
  for (auto& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  const auto child = fork();
  if (child == 0) {
    execv(program.c_str(), pointers.data());
    _exit(127);
  }
  return child;
}

int finish(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TEST_CASE("rahf train killed twice and resumed ends bit for bit as unbroken", "[program][train]") {
  const World world;
  REQUIRE(finish(start(world.train("unbroken", false))) == 0);
  const auto checkpoints = world.scratch / "broken/checkpoints";
  for (const auto* kill_at : {"00000003.safetensors", "00000008.safetensors"}) {
    const auto child = start(world.train("broken", true));
    while (!std::filesystem::exists(checkpoints / kill_at) &&
           waitpid(child, nullptr, WNOHANG) == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    kill(child, SIGKILL);
    REQUIRE(finish(child) == -SIGKILL);
  }
  REQUIRE(finish(start(world.train("broken", true))) == 0);

  CHECK(world.model("broken").size() > 100000);
  // The metadata names the command, which differs in --out and --resume: compare behind it.
  const auto tail = [](const std::string& file) { return file.substr(file.size() - 1000000); };
  CHECK(tail(world.model("broken")) == tail(world.model("unbroken")));
}

TEST_CASE("rahf train saves and ends with 130 or 143 when a signal comes", "[program][train]") {
  const World world;
  const auto signal = GENERATE(SIGINT, SIGTERM);
  auto arguments = world.train("run", false);
  for (const auto* more : {"--stage.1.updates=100000", "--save_every=100000", "--log_every=1"}) {
    const std::string name(more, std::string(more).find('='));
    const auto given = std::find(arguments.begin(), arguments.end(), name);
    if (given != arguments.end()) arguments.erase(given, given + 2);
    arguments.emplace_back(more);
  }
  const auto run = world.scratch / "run";
  const auto child = start(arguments);
  const auto has_updates = [&] {
    std::error_code none;
    return std::filesystem::file_size(run / "metrics.jsonl", none) > 0 && !none;
  };
  while (!has_updates() && waitpid(child, nullptr, WNOHANG) == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  kill(child, signal);
  CHECK(finish(child) == 128 + signal);
  CHECK_FALSE(std::filesystem::is_empty(run / "checkpoints"));
  CHECK_FALSE(std::filesystem::exists(run / "model"));
}

TEST_CASE("rahf train says what it needs", "[program][train][errors]") {
  const Captured errors(std::cerr);
  CHECK(run_program({"train", "--out", "x"}) == 2);
  CHECK(errors.text().find("--data is required") != std::string::npos);
  CHECK(run_program({"train", "--data", "none.h5", "--out", "x", "--init", "y",
                     "--model.vit.layers", "2"}) == 2);
  CHECK(errors.text().find("--model.vit.layers cannot be given with --init") != std::string::npos);
}
