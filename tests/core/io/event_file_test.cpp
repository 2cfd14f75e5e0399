#include "rahf/core/io/event_file.h"

#include <algorithm>
#include <iomanip>
#include <set>
#include <sstream>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/image_file.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf::io;

namespace {

std::string hex(std::string_view bytes) {
  std::ostringstream out;
  for (const unsigned char byte : bytes)
    out << std::hex << std::setw(2) << std::setfill('0') << +byte;
  return out.str();
}

std::string only_file(const std::filesystem::path& folder) {
  std::filesystem::directory_iterator it(folder);
  const auto path = it->path();
  REQUIRE(++it == std::filesystem::directory_iterator());
  return path.string();
}

// The events in a file's records, whose lengths are trusted.
std::vector<std::string> events(const std::string& file) {
  std::vector<std::string> all;
  for (std::size_t at = 0; at < file.size();) {
    std::uint64_t size = 0;
    std::memcpy(&size, file.data() + at, sizeof size);
    all.push_back(file.substr(at + 12, size));
    CHECK(tfrecord(all.back()) == file.substr(at, size + 16));
    at += size + 16;
  }
  return all;
}

}  // namespace

TEST_CASE("masked_crc32c gives the published check value", "[core][event_file]") {
  CHECK(masked_crc32c("123456789") == 0xC78AB0E5);
  CHECK(masked_crc32c("") == 0xA282EAD8);
}

TEST_CASE("tfrecord frames data as TensorFlow does", "[core][event_file]") {
  CHECK(hex(tfrecord("hello")) == "0500000000000000eab2043e68656c6c6fbb1f1c19");
}

TEST_CASE("Events have the bytes that TensorBoard's own writer gives", "[core][event_file]") {
  CHECK(hex(tfrecord(version_event(1.0))) ==
        "1800000000000000a37f4b22"
        "09000000000000f03f1a0d627261696e2e4576656e743a32"
        "86bf577a");
  CHECK(hex(tfrecord(scalar_event(2.0, 7, "loss", 0.5F))) ==
        "1a00000000000000129bd82d"
        "09000000000000004010072a0d0a0b0a046c6f7373150000003f"
        "c33fc24a");
}

TEST_CASE("Events hold large steps, and no step 0", "[core][event_file]") {
  CHECK(hex(scalar_event(2.0, 300, "", 0)).find("10ac02") == 18);
  // Wall time, then at once the summary of 7 bytes: an empty tag and the value 0, which is written.
  CHECK(hex(scalar_event(2.0, 0, "", 0)) == "0900000000000000402a090a070a001500000000");
}

TEST_CASE("An image event holds sizes and a PNG", "[core][event_file]") {
  rahf::Image image(2, 3);
  image.at(1, 1)[1] = 200;
  const auto event = image_event(2.0, 1, "p", image);
  CHECK(hex(event).find("080210031803") != std::string::npos);  // 2 high, 3 wide, RGB.
  const auto png = event.substr(event.find("\x89PNG"));
  CHECK(decode_image({reinterpret_cast<const std::uint8_t*>(png.data()), png.size()}, "p") ==
        image);
}

TEST_CASE("EventFile has each record in the file when the call returns", "[core][event_file]") {
  const ScratchFolder folder;
  EventFile file(folder / "run/events");
  const auto path = only_file(folder / "run/events");
  CHECK(std::filesystem::path(path).filename().string().starts_with("events.out.tfevents."));
  REQUIRE(events(read_file(path)).size() == 1);
  CHECK(events(read_file(path))[0].ends_with("brain.Event:2"));
  file.add_scalar("loss/total", 3, 0.25);
  REQUIRE(events(read_file(path)).size() == 2);
  file.add_image("picture", 3, rahf::Image(4, 4));
  const auto all = events(read_file(path));
  REQUIRE(all.size() == 3);
  // But for the wall time, which is now.
  CHECK(all[1].substr(9) == scalar_event(0, 3, "loss/total", 0.25F).substr(9));
  CHECK(all[2].substr(9) == image_event(0, 3, "picture", rahf::Image(4, 4)).substr(9));
}

TEST_CASE("EventFile begins a new file each time", "[core][event_file]") {
  const ScratchFolder folder;
  for (int i = 0; i < 3; ++i) EventFile(folder.path()).add_scalar("x", i, i);
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    names.insert(entry.path().filename());
    CHECK(events(read_file(entry.path())).size() == 2);
  }
  CHECK(names.size() == 3);
}

TEST_CASE("EventFile names a folder that it cannot make", "[core][event_file][errors]") {
  const ScratchFolder folder;
  write_atomically(folder / "file", "x");
  REQUIRE_THROWS_MATCHES(EventFile(folder / "file"), rahf::FileError, Says("cannot be opened"));
}
