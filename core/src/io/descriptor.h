#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include "rahf/core/error.h"

namespace rahf::io {

/// What the system says about `path` now.
[[noreturn]] inline void fail_with_errno(const std::filesystem::path& path,
                                         const std::string& what) {
  const int code = errno;
  throw FileError(path.string() + ": " + what + " (" + std::strerror(code) + ')');
}

/// Owns an open file.
class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags, mode_t mode = 0666)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, mode)) {
    if (fd_ < 0) fail_with_errno(path, "cannot be opened");
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Writes all of `content`. @throws FileError naming `path`.
inline void write_all(const Descriptor& file, const std::filesystem::path& path,
                      std::string_view content) {
  while (!content.empty()) {
    const auto written = ::write(file.get(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_with_errno(path, "cannot be written");
    content.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace rahf::io
