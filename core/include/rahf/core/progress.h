#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace rahf {

/// A progress line on standard error: bar, count, rate, and time left.
///
/// On a terminal the line is redrawn in place, at most ten times a second; elsewhere (a log file)
/// a line is printed at most every `kLogSeconds`. silence() switches it off for
/// the process. Not thread-safe: update from one thread.
class Progress {
 public:
  static constexpr double kLogSeconds = 15;

  /// @param what   what is counted, plural: "pictures"
  /// @param total  how many there will be; 0 if unknown
  /// @param done   how many were done before (a resumed run); they do not count for the rate
  Progress(std::string what, std::int64_t total, std::int64_t done = 0);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `count` more are done.
  void add(std::int64_t count = 1);
  /// `count` are done in all; `note` is shown behind the bar ("loss 0.31").
  void set(std::int64_t count, const std::string& note = "");
  /// Draws the last state and ends the line; the destructor does so too.
  void finish();

  /// Switches all progress output of the process on or off.
  static void silence(bool silent);

 private:
  void draw(bool last);

  using Clock = std::chrono::steady_clock;
  std::string what_;
  std::string note_;
  std::int64_t total_;
  std::int64_t first_;
  std::int64_t done_;
  bool terminal_;
  bool finished_ = false;
  bool drawn_ = false;
  Clock::time_point start_;
  Clock::time_point last_draw_;
};

/// "1h02m", "3m20s", "12s"; rounded to whole seconds, negative times are "0s".
std::string duration_text(double seconds);

}  // namespace rahf
