#include "rahf/core/train/interruption.h"

#include <csignal>

namespace rahf::train {
namespace {

// A signal handler may touch nothing else.
volatile std::sig_atomic_t signal_that_came = 0;
struct sigaction before_interrupt, before_terminate;

void note(int signal) { signal_that_came = signal; }

}  // namespace

InterruptionGuard::InterruptionGuard() {
  signal_that_came = 0;
  struct sigaction action {};
  action.sa_handler = note;
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART | SA_RESETHAND;
  sigaction(SIGINT, &action, &before_interrupt);
  sigaction(SIGTERM, &action, &before_terminate);
}

InterruptionGuard::~InterruptionGuard() {
  sigaction(SIGINT, &before_interrupt, nullptr);
  sigaction(SIGTERM, &before_terminate, nullptr);
}

int InterruptionGuard::requested() { return signal_that_came; }

}  // namespace rahf::train
