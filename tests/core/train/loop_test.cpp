#include "rahf/core/train/loop.h"

#include <algorithm>
#include <csignal>
#include <cstring>

#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/event_file.h"
#include "rahf/core/progress.h"
#include "rahf/core/train/averages.h"
#include "rahf/core/train/interruption.h"
#include "rahf/core/train/optimisation.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf::train;

namespace {

/// Least squares of a few numbers, with a counter as state of its own.
struct Toy {
  torch::Tensor w = torch::tensor({3.0F, -2.0F}, torch::requires_grad());
  Optimisation optimisation{
      {{.name = "w", .value = w}},
      {.ema = 0.5, .schedule = {.learning_rate = 0.1, .warmup = 2}, .adamw = {}},
      10};
  Averages means;
  std::int64_t seen = 0;

  /// Runs until the end, a signal at update `signal_at`, or an error at update `fail_at`.
  void run(const std::filesystem::path& folder, bool resume, std::int64_t fail_at = -1,
           std::int64_t signal_at = -1, int signal = SIGTERM) {
    rahf::Progress::silence(true);
    RunFolder place({.folder = folder, .resume = resume, .keep = 9}, RunIdentity{});
    Loop loop(place, 10, {.log_every = 1, .check_every = 5, .save_every = 3, .keep = 9});
    loop.keep("optimisation", optimisation);
    loop.keep(
        "own",
        [this] {
          return rahf::io::TensorMap{{"seen", torch::tensor(seen)}};
        },
        [this](const rahf::io::TensorMap& state) { seen = state.at("seen").item<std::int64_t>(); });
    loop.resume();
    loop.run({.update =
                  [&](std::int64_t update) {
                    if (update == fail_at) throw rahf::Error("pulled the plug");
                    seen += update;
                    const auto loss = (w - 1).square().sum();
                    optimisation.backward(loss);
                    means.add({{"loss", loss}});
                    optimisation.step();
                    if (update == signal_at) raise(signal);
                  },
              .values = [&] { return means.take(); },
              .check =
                  [&] {
                    return RunLog::Values{{"dev", 0.5}};
                  }});
  }
};

std::int64_t lines(const std::filesystem::path& folder) {
  const auto text = rahf::io::read_file(folder / "metrics.jsonl");
  return std::count(text.begin(), text.end(), '\n');
}

/// How often the event files of a run hold the value `tag` of update `step`.
int events(const std::filesystem::path& folder, std::int64_t step) {
  int found = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.path().filename().string().starts_with("events.out")) continue;
    const auto text = rahf::io::read_file(entry.path());
    for (std::size_t at = 0; at + 16 <= text.size();) {
      std::uint64_t length = 0;
      std::memcpy(&length, text.data() + at, sizeof length);
      const auto event = text.substr(at + 12, length);
      // Field 2, the step, follows the wall time; these steps are single bytes.
      found += event.size() > 10 && event[9] == 0x10 && event[10] == static_cast<char>(step) &&
               event.find("loss") != std::string::npos;
      at += 16 + length;
    }
  }
  return found;
}

}  // namespace

TEST_CASE("Loop resumed behind a failure ends as if nothing had happened", "[core][loop]") {
  const ScratchFolder scratch;
  Toy unbroken;
  unbroken.run(scratch / "whole", false);
  CHECK(lines(scratch / "whole") == 12);  // ten updates, two checks

  Toy broken;
  REQUIRE_THROWS_MATCHES(broken.run(scratch / "run", false, 5), rahf::Error, Says("the plug"));
  Toy resumed;
  resumed.run(scratch / "run", true);
  CHECK(torch::equal(resumed.w, unbroken.w));
  CHECK(resumed.seen == unbroken.seen);
  CHECK(lines(scratch / "run") == 12);
  // Updates 4 and 5 were made twice; the log shows each once.
  for (const auto step : {1, 3, 4, 5, 10}) {
    CAPTURE(step);
    CHECK(events(scratch / "run", step) == 1);
  }
}

TEST_CASE("Loop saves and ends when a signal comes", "[core][loop]") {
  const auto signal = GENERATE(SIGINT, SIGTERM);
  const ScratchFolder scratch;
  Toy unbroken;
  unbroken.run(scratch / "whole", false);

  Toy stopped;
  int status = 0;
  try {
    stopped.run(scratch / "run", false, -1, 4, signal);
  } catch (const Interrupted& interrupted) {
    status = interrupted.exit_status();
    CHECK(std::string(interrupted.what()).find("after update 5 of 10") != std::string::npos);
  }
  CHECK(status == 128 + signal);
  CHECK(std::filesystem::exists(scratch / "run/checkpoints/00000005.safetensors"));
  Toy resumed;
  resumed.run(scratch / "run", true);
  CHECK(torch::equal(resumed.w, unbroken.w));
  CHECK(resumed.seen == unbroken.seen);
}

TEST_CASE("LoopOptions names what is out of range", "[core][loop][errors]") {
  REQUIRE_THROWS_MATCHES(LoopOptions{.log_every = 0}.validate(), rahf::ConfigError,
                         Says("LoopOptions.log_every = 0, must be > 0"));
}
