#pragma once

#include <ATen/Parallel.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>

/// Runs `body` in a process of its own in which no file can grow beyond `bytes`, as on a full disk,
/// and ends that process in the ordinary way.
/// @return what `body` returned, or minus the signal that ended the process
inline int on_full_disk(rlim_t bytes, const std::function<int()>& body) {
  const auto child = fork();
  if (child == 0) {
    at::set_num_threads(1);  // the threads of the parent's pool are not here
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, bytes};
    setrlimit(RLIMIT_FSIZE, &limit);
    std::exit(body());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}
