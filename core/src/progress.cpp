#include "rahf/core/progress.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <sstream>

namespace rahf {
namespace {

std::atomic<bool> silenced{false};

double seconds_between(std::chrono::steady_clock::time_point a,
                       std::chrono::steady_clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

}  // namespace

void Progress::silence(bool silent) { silenced = silent; }

Progress::Progress(std::string what, std::int64_t total, std::int64_t done)
    : what_(std::move(what)),
      total_(total),
      first_(done),
      done_(done),
      terminal_(isatty(STDERR_FILENO) != 0),
      start_(Clock::now()),
      last_draw_(start_) {}

Progress::~Progress() { finish(); }

void Progress::add(std::int64_t count) { set(done_ + count, note_); }

void Progress::set(std::int64_t count, const std::string& note) {
  done_ = count;
  note_ = note;
  const double wait = terminal_ ? 0.1 : kLogSeconds;
  if (seconds_between(last_draw_, Clock::now()) >= wait) draw(/*last=*/false);
}

void Progress::finish() {
  if (finished_) return;
  finished_ = true;
  draw(/*last=*/true);
}

void Progress::draw(bool last) {
  if (silenced) return;
  const auto now = Clock::now();
  last_draw_ = now;
  const double seconds = seconds_between(start_, now);
  const double rate = seconds > 0 ? static_cast<double>(done_ - first_) / seconds : 0;

  std::ostringstream line;
  if (total_ > 0) {
    constexpr int kWidth = 24;
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    const int filled = static_cast<int>(share * kWidth);
    line << '[' << std::string(filled, '#') << std::string(kWidth - filled, '.') << "] " << done_
         << '/' << total_ << ' ';
  } else {
    line << done_ << ' ';
  }
  line << what_;
  if (rate > 0) {
    line.precision(rate < 10 ? 2 : 0);
    line << std::fixed << "  " << rate << "/s";
    if (!last && total_ > done_) {
      line << "  " << duration_text(static_cast<double>(total_ - done_) / rate) << " left";
    }
  }
  if (last) line << "  in " << duration_text(seconds);
  if (!note_.empty()) line << "  " << note_;
  if (terminal_) {
    std::cerr << (drawn_ ? "\r\033[K" : "") << line.str() << (last ? "\n" : "") << std::flush;
  } else {
    std::cerr << line.str() << std::endl;
  }
  drawn_ = true;
}

std::string duration_text(double seconds) {
  constexpr double kLongest = 1e9;  // Also of an infinite time left.
  const auto total =
      static_cast<std::int64_t>(std::llround(seconds > 0 ? std::min(seconds, kLongest) : 0));
  std::ostringstream text;
  const auto two = [](std::int64_t value) {
    return (value < 10 ? "0" : "") + std::to_string(value);
  };
  if (total >= 3600) {
    text << total / 3600 << 'h' << two(total / 60 % 60) << 'm';
  } else if (total >= 60) {
    text << total / 60 << 'm' << two(total % 60) << 's';
  } else {
    text << total << 's';
  }
  return text.str();
}

}  // namespace rahf
