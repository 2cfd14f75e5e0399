#include "rahf/core/train/loop.h"

#include <chrono>
#include <csignal>
#include <sstream>

#include "rahf/core/error.h"
#include "rahf/core/progress.h"
#include "rahf/core/train/interruption.h"

namespace rahf::train {
namespace {

std::string short_text(double value) {
  std::ostringstream text;
  text.precision(4);
  text << value;
  return text.str();
}

}  // namespace

void LoopOptions::validate() const {
  const auto check = [](const char* name, std::int64_t value, std::int64_t least) {
    if (value >= least) return;
    throw ConfigError(std::string("LoopOptions.") + name + " = " + std::to_string(value) +
                      ", must be " + (least == 0 ? ">= 0" : "> 0"));
  };
  check("log_every", log_every, 1);
  check("check_every", check_every, 0);
  check("save_every", save_every, 1);
  check("keep", keep, 1);
}

Loop::Loop(RunFolder& folder, std::int64_t updates, LoopOptions options)
    : folder_(folder), updates_(updates), options_(options) {
  options_.validate();
  if (updates <= 0) throw ConfigError("Loop: updates must be > 0, got " + std::to_string(updates));
}

void Loop::keep(std::string name, std::function<io::TensorMap()> state,
                std::function<void(const io::TensorMap&)> load) {
  kept_.push_back({std::move(name), std::move(state), std::move(load)});
}

std::int64_t Loop::saved() const { return folder_.checkpoints().latest().value_or(0); }

std::int64_t Loop::resume() {
  const auto latest = folder_.checkpoints().latest();
  if (!latest) return 0;
  const auto saved = folder_.checkpoints().load(*latest);
  for (const auto& kept : kept_) {
    io::TensorMap own;
    const auto prefix = kept.name + '/';
    for (auto it = saved.tensors.lower_bound(prefix);
         it != saved.tensors.end() && it->first.starts_with(prefix); ++it) {
      own[it->first.substr(prefix.size())] = it->second;
    }
    kept.load(own);
  }
  return done_ = *latest;
}

void Loop::save() {
  io::TensorMap all;
  for (const auto& kept : kept_) {
    for (auto& [name, tensor] : kept.state()) {
      all[kept.name + '/' + name] = tensor.detach().cpu().contiguous();
    }
  }
  folder_.checkpoints().save(done_, all, {{"updates", std::to_string(done_)}});
}

void Loop::run(const Calls& calls) {
  const InterruptionGuard guard;
  RunLog log(folder_.path(), done_);
  Progress progress("updates", updates_, done_);
  auto since = std::chrono::steady_clock::now();
  auto first = done_;
  while (done_ < updates_) {
    calls.update(done_);
    ++done_;
    const bool last = done_ == updates_;
    if (done_ % options_.log_every == 0 || last) {
      auto values = calls.values();
      if (values.empty()) {
        progress.add(1);
      } else {
        progress.set(done_, values.front().first + ' ' + short_text(values.front().second));
      }
      if (calls.items_per_update > 0) {
        const auto now = std::chrono::steady_clock::now();
        const double seconds = std::chrono::duration<double>(now - since).count();
        values.emplace_back(calls.items + "_per_second",
                            static_cast<double>(done_ - first) * calls.items_per_update / seconds);
        since = now;
        first = done_;
      }
      log.write(done_, values);
    } else {
      progress.add(1);
    }
    if (calls.check && options_.check_every > 0 && (done_ % options_.check_every == 0 || last)) {
      const auto values = calls.check();
      if (!values.empty()) log.write(done_, values);
    }
    const int signal = InterruptionGuard::requested();
    if (done_ % options_.save_every == 0 || last || signal != 0) save();
    if (signal != 0 && !last) {
      progress.finish();
      throw Interrupted(
          signal, std::string("stopped by ") + (signal == SIGINT ? "SIGINT" : "SIGTERM") +
                      " after update " + std::to_string(done_) + " of " + std::to_string(updates_) +
                      ", which is saved in " + folder_.checkpoints().folder().string());
    }
  }
  progress.finish();
}

}  // namespace rahf::train
