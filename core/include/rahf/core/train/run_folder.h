#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "rahf/core/io/safetensors.h"
#include "rahf/core/options.h"
#include "rahf/core/train/checkpoint.h"

namespace rahf::train {

/// What a run is. A run that is resumed must be the same in all of it.
struct RunIdentity {
  std::map<std::string, std::string> options;   ///< Every effective option.
  std::map<std::string, std::string> defaults;  ///< What an option that is not named is.
  std::set<std::string> free;                   ///< Options and facts that may differ.
  std::map<std::string, std::string> facts;     ///< What else decides the result: rows and hash of
                                                ///< the data, the device.
  std::string config;                           ///< The options as a config file.
};

/// The identity of a run by its options struct.
/// @param free  names of options that change no result: cadence of logs, threads of a loader
template <class Options>
RunIdentity run_identity(Options options, std::set<std::string> free,
                         std::map<std::string, std::string> facts) {
  Options defaults;
  return {.options = option_values(option_fields(options)),
          .defaults = option_values(option_fields(defaults)),
          .free = std::move(free),
          .facts = std::move(facts),
          .config = write_config(option_fields(options))};
}

/// The folder of one run:
///
///     run.cfg        every effective option
///     run.json       LibTorch's version, its threads inside an operation, and the facts
///     checkpoints/   the newest few
///     metrics.jsonl, events.out.tfevents.*   (RunLog)
///
/// On the same data, options, LibTorch and number of threads a resumed run ends bit for bit as one
/// that was not stopped; so a resume that differs in one of these is refused.
class RunFolder {
 public:
  struct Place {
    std::filesystem::path folder;
    bool resume = false;    ///< Go on with the run in `folder`, if there is one.
    std::int64_t keep = 2;  ///< Checkpoints that stay; > 0.
  };

  /// Begins a run, or takes one up and removes what a kill left of unfinished writes.
  /// @throws ConfigError if the folder holds a run and `resume` is off, or naming what differs.
  RunFolder(Place place, const RunIdentity& identity);

  const std::filesystem::path& path() const { return path_; }
  Checkpoints& checkpoints() { return checkpoints_; }
  const Checkpoints& checkpoints() const { return checkpoints_; }

 private:
  std::filesystem::path path_;
  Checkpoints checkpoints_;
};

}  // namespace rahf::train
