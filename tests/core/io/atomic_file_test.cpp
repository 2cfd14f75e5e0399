#include "rahf/core/io/atomic_file.h"

#include <sys/stat.h>

#include <fstream>
#include <string>

#include "rahf/core/error.h"
#include "support/catch.h"
#include "support/scratch.h"

using rahf::FileError;
using rahf::io::read_file;
using rahf::io::replace_atomically;
using rahf::io::write_atomically;

namespace fs = std::filesystem;

namespace {

std::ptrdiff_t entries(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

}  // namespace

TEST_CASE("write_atomically writes what read_file reads", "[core][atomic_file]") {
  const ScratchFolder folder;
  const auto size = GENERATE(0, 1, 65535, 65536, 65537, 300000);
  std::string content(size, 'x');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7);
  write_atomically(folder / "file", content);
  CHECK(read_file(folder / "file") == content);
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("write_atomically replaces a file and makes missing folders", "[core][atomic_file]") {
  const ScratchFolder folder;
  const auto path = folder / "a/b/file";
  write_atomically(path, "long old content");
  write_atomically(path, "new");
  CHECK(read_file(path) == "new");
  CHECK(entries(folder / "a/b") == 1);
}

TEST_CASE("write_atomically gives a file the usual permissions", "[core][atomic_file]") {
  const ScratchFolder folder;
  write_atomically(folder / "atomic", "x");
  std::ofstream(folder / "plain") << "x";
  CHECK(fs::status(folder / "atomic").permissions() == fs::status(folder / "plain").permissions());
}

TEST_CASE("replace_atomically leaves the old file when writing fails", "[core][atomic_file]") {
  const ScratchFolder folder;
  write_atomically(folder / "file", "old");
  const auto broken = [](const fs::path& temporary) {
    std::ofstream(temporary) << "half";
    throw std::runtime_error("stopped");
  };
  REQUIRE_THROWS_MATCHES(replace_atomically(folder / "file", broken), std::runtime_error,
                         Says("stopped"));
  CHECK(read_file(folder / "file") == "old");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("replace_atomically replaces whole folders", "[core][atomic_file]") {
  const ScratchFolder folder;
  const auto write = [&](const std::string& file) {
    replace_atomically(folder / "model", [&](const fs::path& temporary) {
      CHECK(temporary.filename() == "model");
      fs::create_directories(temporary / "inner");
      std::ofstream(temporary / "inner" / file) << file;
    });
  };
  write("first");
  write("second");
  CHECK(read_file(folder / "model/inner/second") == "second");
  CHECK_FALSE(fs::exists(folder / "model/inner/first"));
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("Files that cannot be read or written are named", "[core][atomic_file][errors]") {
  const ScratchFolder folder;
  write_atomically(folder / "file", "x");
  REQUIRE_THROWS_MATCHES(read_file(folder / "absent"), FileError,
                         Says("absent: cannot be opened (No such file or directory)"));
  REQUIRE_THROWS_MATCHES(read_file(folder.path()), FileError,
                         Says(": cannot be read (Is a directory)"));
  REQUIRE_THROWS_MATCHES(write_atomically(folder / "file/below", "x"), FileError,
                         Says("below: cannot be written"));
  REQUIRE_THROWS_MATCHES(replace_atomically(folder / "new", [](const fs::path&) {}), FileError,
                         Says("cannot be"));
}
