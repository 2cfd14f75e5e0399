#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rahf/core/io/safetensors.h"
#include "rahf/core/train/run_folder.h"
#include "rahf/core/train/run_log.h"

namespace rahf::train {

struct LoopOptions {
  std::int64_t log_every = 50;
  std::int64_t check_every = 1000;
  std::int64_t save_every = 1000;
  std::int64_t keep = 2;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("log_every", self.log_every, "updates between lines of metrics.jsonl; > 0");
    visit("check_every", self.check_every, "updates between evaluations; 0 is never; >= 0");
    visit("save_every", self.save_every, "updates between checkpoints; > 0");
    visit("keep", self.keep, "checkpoints that stay; > 0");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
  /// Names of the fields that change no result.
  static std::set<std::string> free() { return {"log_every", "check_every", "save_every", "keep"}; }
};

/// The updates of a run, with progress, log, evaluation and checkpoints, until all are done or
/// SIGINT or SIGTERM comes: then it saves and throws Interrupted.
///
///     Loop loop(folder, updates, options);
///     loop.keep("optimisation", optimisation);
///     loop.resume();
///     loop.run({.update = [&](std::int64_t k) { ... }, .values = [&] { return means.take(); }});
///
/// Not thread-safe.
class Loop {
 public:
  struct Calls {
    std::function<void(std::int64_t)> update;    ///< Makes update k, from 0.
    std::function<RunLog::Values()> values;      ///< For the log, since the last call. The first
                                                 ///< one is shown beside the progress bar.
    std::function<RunLog::Values()> check = {};  ///< Evaluates; empty: never.
    double items_per_update = 0;                 ///< > 0 logs a rate, "ITEMS_per_second".
    std::string items = "images";
  };

  /// @param folder   must outlive the loop
  /// @param updates  in all; > 0
  Loop(RunFolder& folder, std::int64_t updates, LoopOptions options);

  /// Saves state along with every checkpoint, under "NAME/".
  void keep(std::string name, std::function<io::TensorMap()> state,
            std::function<void(const io::TensorMap&)> load);
  /// The same for an object with state() and load_state(), which must outlive the loop.
  template <class Object>
  void keep(std::string name, Object& object) {
    keep(
        std::move(name), [&object] { return object.state(); },
        [&object](const io::TensorMap& state) { object.load_state(state); });
  }

  /// Updates of the newest checkpoint; 0 without one.
  std::int64_t saved() const;
  /// Loads the newest checkpoint into all that is kept, if there is one.
  /// @return updates done
  std::int64_t resume();

  /// @throws Interrupted after a signal, everything saved
  void run(const Calls& calls);

 private:
  struct Kept {
    std::string name;
    std::function<io::TensorMap()> state;
    std::function<void(const io::TensorMap&)> load;
  };
  void save();

  RunFolder& folder_;
  std::int64_t updates_;
  LoopOptions options_;
  std::vector<Kept> kept_;
  std::int64_t done_ = 0;
};

}  // namespace rahf::train
