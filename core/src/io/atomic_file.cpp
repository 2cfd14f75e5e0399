#include "rahf/core/io/atomic_file.h"

#include <cstdio>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "descriptor.h"

namespace rahf::io {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kScratchPrefix = ".rahf-";

/// A new folder beside what is to be replaced; gone with what is left in it at the end.
class Scratch {
 public:
  explicit Scratch(const fs::path& target)
      : folder_((target.parent_path() / (std::string(kScratchPrefix) + "XXXXXX")).string()) {
    if (::mkdtemp(folder_.data()) == nullptr) fail_with_errno(target, "cannot write beside it");
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  fs::path folder() const { return folder_; }

 private:
  std::string folder_;
};

void sync(const fs::path& path) {
  if (fs::is_symlink(path)) return;
  if (fs::is_directory(path)) {
    for (const auto& entry : fs::directory_iterator(path)) sync(entry.path());
  }
  const Descriptor file(path, O_RDONLY);
  // Some file systems cannot sync folders.
  if (::fsync(file.get()) != 0 && errno != EINVAL) fail_with_errno(path, "cannot be synced");
}

// Puts `made` in the place of `target`, which ends up in `scratch` if it was a folder.
void put_in_place(const fs::path& made, const fs::path& target, const fs::path& scratch) {
  if (fs::is_directory(target)) {
    if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return;
    // Where the file system cannot exchange two names, there is a moment without either.
    fs::rename(target, scratch / "old");
  }
  fs::rename(made, target);
}

}  // namespace

void replace_atomically(const fs::path& path, const std::function<void(const fs::path&)>& write) {
  try {
    auto target = fs::absolute(path);
    if (!target.has_filename()) target = target.parent_path();
    fs::create_directories(target.parent_path());
    const Scratch scratch(target);
    const auto made = scratch.folder() / target.filename();
    write(made);
    sync(made);
    put_in_place(made, target, scratch.folder());
    const Descriptor parent(target.parent_path(), O_RDONLY);
    ::fsync(parent.get());
  } catch (const fs::filesystem_error& error) {
    throw FileError(path.string() + ": cannot be written (" + error.what() + ')');
  }
}

void remove_scratch(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> left;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const auto name = entry.path().filename().string();
    if (name.size() == kScratchPrefix.size() + 6 && name.starts_with(kScratchPrefix) &&
        entry.is_directory(ignored)) {
      left.push_back(entry.path());
    }
  }
  for (const auto& path : left) fs::remove_all(path, ignored);
}

void write_atomically(const fs::path& path, std::string_view content) {
  replace_atomically(path, [content](const fs::path& temporary) {
    write_all(Descriptor(temporary, O_WRONLY | O_CREAT | O_EXCL), temporary, content);
  });
}

std::string read_file(const fs::path& path) {
  const Descriptor file(path, O_RDONLY);
  std::string content;
  constexpr std::size_t kStep = 1 << 16;
  for (std::size_t size = 0;;) {
    content.resize(size + std::max(kStep, size));
    const auto got = ::read(file.get(), content.data() + size, content.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_with_errno(path, "cannot be read");
    size += static_cast<std::size_t>(got);
    if (got == 0) {
      content.resize(size);
      return content;
    }
  }
}

}  // namespace rahf::io
