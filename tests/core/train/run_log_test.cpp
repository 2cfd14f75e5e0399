#include "rahf/core/train/run_log.h"

#include <fstream>
#include <limits>

#include "rahf/core/io/atomic_file.h"
#include "support/catch.h"
#include "support/scratch.h"

using rahf::io::read_file;
using rahf::train::RunLog;

TEST_CASE("RunLog writes a JSON line per call and an event file", "[core][run_log]") {
  const ScratchFolder scratch;
  RunLog log(scratch.path(), 0);
  log.write(1, {{"loss", 0.5}, {"rate", 2}});
  log.write(2, {{"loss", std::numeric_limits<double>::quiet_NaN()}});
  CHECK(read_file(scratch / "metrics.jsonl") ==
        "{\"update\":1,\"loss\":0.5,\"rate\":2.0}\n{\"update\":2,\"loss\":null}\n");
  bool events = false;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.path())) {
    events = events || entry.path().filename().string().starts_with("events.out.tfevents.");
  }
  CHECK(events);
}

TEST_CASE("RunLog cuts off what a killed run wrote behind its checkpoint", "[core][run_log]") {
  const ScratchFolder scratch;
  {
    RunLog log(scratch.path(), 0);
    for (const auto update : {10, 20, 30}) log.write(update, {{"loss", update}});
  }
  std::ofstream(scratch / "metrics.jsonl", std::ios::app) << "{\"update\":40,\"lo";
  RunLog log(scratch.path(), 20);
  log.write(30, {{"loss", 3}});
  CHECK(read_file(scratch / "metrics.jsonl") ==
        "{\"update\":10,\"loss\":10.0}\n{\"update\":20,\"loss\":20.0}\n"
        "{\"update\":30,\"loss\":3.0}\n");
}
