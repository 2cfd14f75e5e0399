#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rahf/core/options.h"

namespace rahf::rl {

/// When a run is told that its reward is being hacked.
struct MonitorOptions {
  std::int64_t patience = 3;  ///< Evaluations in which the held-out judge must stay below its best.
  double margin = 0.01;       ///< By how much it must be below; >= 0.
  double gain = 0.01;         ///< By how much the training reward must have risen meanwhile; >= 0.
  bool stop = false;          ///< End the run at the first alarm.

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("patience", self.patience,
          "evaluations in a row in which the held-out judge stays below its best; > 0");
    visit("margin", self.margin, "by how much it must be below; >= 0");
    visit("gain", self.gain,
          "by how much the training reward must be above that of the best evaluation; >= 0");
    visit("stop", self.stop, "end the run at the first alarm");
  }
  /// @throws ConfigError naming the field.
  void validate() const;
};

/// Watches two curves of a run: the reward that it raises, and a judge that it does not see.
///
/// An alarm is raised when the held-out judge has stayed below its best by more than `margin` for
/// `patience` evaluations in a row while the reward stands more than `gain` above where it stood at
/// that best: more reward, worse pictures. A run that gets worse in both, or no worse by the
/// judge, raises none.
class Monitor {
 public:
  explicit Monitor(MonitorOptions options);

  struct Point {
    std::int64_t update = 0;
    double reward = 0;    ///< Of the evaluation's pictures, by the training reward.
    double held_out = 0;  ///< Of the same pictures, by the held-out judge.
  };

  /// @return the text of the alarm if this evaluation raises one; at most one per best
  /// @throws NonFiniteError if a number is not finite
  std::optional<std::string> observe(const Point& point);

  /// Whether the evaluation observed last is the best by the held-out judge: time to keep a model.
  bool is_best() const { return !points_.empty() && best_ + 1 == points_.size(); }
  /// @throws Error before the first evaluation
  const Point& best() const;
  const std::vector<Point>& points() const { return points_; }
  const std::vector<std::int64_t>& alarms() const { return alarms_; }  ///< Updates.

  /// [N, 3] f64, to be saved along; load_state() observes them again.
  torch::Tensor state() const;
  void load_state(const torch::Tensor& state);

 private:
  MonitorOptions options_;
  std::vector<Point> points_;
  std::size_t best_ = 0;  ///< Index of the best; the first of equals.
  std::int64_t below_ = 0;
  std::vector<std::int64_t> alarms_;
};

}  // namespace rahf::rl
