#pragma once

#include "rahf/core/error.h"

namespace rahf::train {

/// A signal asked the program to end, and all work was saved. A program answers with
/// exit_status().
class Interrupted : public Error {
 public:
  Interrupted(int signal, const std::string& what) : Error(what), signal_(signal) {}
  int exit_status() const { return 128 + signal_; }  ///< SIGINT 130, SIGTERM 143.

 private:
  int signal_;
};

/// Turns the first SIGINT or SIGTERM into a note that work asks for at places where it can stop.
/// The second one ends the process as usual. One at a time; the handlers before it come back at its
/// end.
class InterruptionGuard {
 public:
  InterruptionGuard();
  InterruptionGuard(const InterruptionGuard&) = delete;
  InterruptionGuard& operator=(const InterruptionGuard&) = delete;
  ~InterruptionGuard();

  /// The signal that came, or 0.
  static int requested();
};

}  // namespace rahf::train
