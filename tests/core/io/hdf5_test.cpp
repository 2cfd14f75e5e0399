#include "rahf/core/io/hdf5.h"

#include <fstream>
#include <limits>
#include <numeric>
#include <thread>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "support/catch.h"
#include "support/full_disk.h"
#include "support/scratch.h"

using rahf::FileError;
using rahf::ShapeError;
using rahf::io::Hdf5File;
using Mode = rahf::io::Hdf5File::Mode;
using Strings = std::vector<std::string>;
using Bytes = std::vector<std::vector<std::uint8_t>>;

TEST_CASE("Hdf5File gives back arrays of every type", "[core][hdf5]") {
  const ScratchFolder folder;
  const auto dtype =
      GENERATE(torch::kByte, torch::kInt, torch::kLong, torch::kFloat, torch::kDouble);
  const auto rows = torch::arange(5 * 2 * 3).view({5, 2, 3}).to(dtype);
  {
    Hdf5File file(folder / "x.h5", Mode::kCreate);
    file.create_array("maps/heat", dtype, {2, 3}, /*chunk_rows=*/2);
    CHECK(file.rows("maps/heat") == 0);
    file.append("maps/heat", rows.slice(0, 0, 3));
    file.append("maps/heat", rows.slice(0, 3, 5));
    CHECK(file.read("maps/heat", 2, 4).equal(rows.slice(0, 2, 4)));  // Before it is on disk.
  }
  const Hdf5File file(folder / "x.h5", Mode::kRead);
  CHECK(file.rows("maps/heat") == 5);
  const auto read = file.read("maps/heat", 0, 5);
  CHECK(read.scalar_type() == dtype);
  CHECK(read.equal(rows));
  CHECK(file.read("maps/heat", 4, 5).equal(rows.slice(0, 4)));
  CHECK(file.read("maps/heat", 3, 3).sizes() == torch::IntArrayRef({0, 2, 3}));
}

TEST_CASE("Hdf5File gives back extreme numbers and strided rows", "[core][hdf5]") {
  const ScratchFolder folder;
  Hdf5File file(folder / "x.h5", Mode::kCreate);
  file.create_array("long", torch::kLong, {}, 8);
  file.create_array("float", torch::kFloat, {2}, 8);
  const auto whole = torch::tensor(
      {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()});
  file.append("long", whole);
  CHECK(file.read("long", 0, 2).equal(whole));
  const auto table = torch::tensor({{1.0F, -0.0F, 1e-42F}, {3e38F, INFINITY, NAN}}).t();  // [3, 2]
  file.append("float", table);
  CHECK(file.read("float", 0, 3).allclose(table, 0, 0, /*equal_nan=*/true));
}

TEST_CASE("Hdf5File gives back strings and bytes of any length", "[core][hdf5]") {
  const ScratchFolder folder;
  const Strings prompts{"", "a red cube", std::string("a NUL \0 too", 11),
                        std::string(100000, 'x')};
  std::vector<std::uint8_t> large(70000);
  std::iota(large.begin(), large.end(), std::uint8_t{0});
  const Bytes pictures{{}, {0}, {0, 255, 0, 10, 13}, large};
  {
    Hdf5File file(folder / "x.h5", Mode::kCreate);
    file.create_strings("prompts");
    file.create_bytes("pictures");
    file.append("prompts", prompts);
    file.append("prompts", Strings{});
    file.append("pictures", pictures);
  }
  const Hdf5File file(folder / "x.h5", Mode::kRead);
  CHECK(file.read_strings("prompts", 0, 4) == prompts);
  CHECK(file.read_strings("prompts", 1, 2) == Strings{"a red cube"});
  CHECK(file.read_bytes("pictures", 0, 4) == pictures);
  CHECK(file.read_bytes("pictures", 2, 2).empty());
}

TEST_CASE("Hdf5File goes on where it was cut off", "[core][hdf5]") {
  const ScratchFolder folder;
  const auto rows = torch::arange(10, torch::kInt).view({10, 1});
  {
    Hdf5File file(folder / "x.h5", Mode::kCreate);
    file.create_array("rows", torch::kInt, {1}, 4);
    file.create_strings("names");
    file.append("rows", rows.slice(0, 0, 7));
    file.append("names", Strings{"a", "b", "c"});
  }
  {
    Hdf5File file(folder / "x.h5", Mode::kAppend);
    file.truncate("rows", 5);
    file.truncate("names", 1);
    CHECK(file.rows("rows") == 5);
    file.append("rows", rows.slice(0, 5));
    file.append("names", Strings{"d"});
  }
  const Hdf5File file(folder / "x.h5", Mode::kRead);
  CHECK(file.read("rows", 0, 10).equal(rows));
  CHECK(file.read_strings("names", 0, 2) == Strings{"a", "d"});
}

TEST_CASE("Hdf5File compresses arrays", "[core][hdf5]") {
  const ScratchFolder folder;
  {
    Hdf5File file(folder / "x.h5", Mode::kCreate);
    file.create_array("maps", torch::kByte, {64, 64}, 16);
    file.append("maps", torch::zeros({256, 64, 64}, torch::kByte));
  }
  CHECK(std::filesystem::file_size(folder / "x.h5") < 256 * 64 * 64 / 20);
}

TEST_CASE("Hdf5File keeps attributes of the file and of tables", "[core][hdf5]") {
  const ScratchFolder folder;
  {
    Hdf5File file(folder / "x.h5", Mode::kCreate);
    file.create_strings("group/table");
    file.set_attribute("/", "version", std::int64_t{3});
    file.set_attribute("/", "version", std::int64_t{-4});
    file.set_attribute("/", "made by", std::string("rahf \u2713"));
    file.set_attribute("group/table", "scale", 0.1);
    file.set_attribute("group", "empty", std::string());
  }
  const Hdf5File file(folder / "x.h5", Mode::kRead);
  CHECK(file.int_attribute("/", "version") == -4);
  CHECK(file.string_attribute("/", "made by") == "rahf \u2713");
  CHECK(file.double_attribute("group/table", "scale") == 0.1);
  CHECK(file.string_attribute("group", "empty").empty());
  CHECK(file.has_attribute("/", "version"));
  CHECK_FALSE(file.has_attribute("/", "scale"));
  REQUIRE_THROWS_MATCHES(file.string_attribute("/", "version"), FileError,
                         Says("attribute 'version' must be one string"));
  REQUIRE_THROWS_MATCHES(file.int_attribute("/", "absent"), FileError,
                         Says("attribute 'absent' must exist"));
}

TEST_CASE("Hdf5File knows which tables it has", "[core][hdf5]") {
  const ScratchFolder folder;
  Hdf5File file(folder / "x.h5", Mode::kCreate);
  file.create_strings("a/b/c");
  CHECK(file.has("a/b/c"));
  CHECK_FALSE(file.has("a/b"));
  CHECK_FALSE(file.has("a/b/c/d"));
  CHECK_FALSE(file.has("x/y"));
  CHECK_FALSE(file.has("/"));
  CHECK_FALSE(file.has(""));
}

TEST_CASE("Hdf5File may be moved", "[core][hdf5]") {
  const ScratchFolder folder;
  Hdf5File file(folder / "x.h5", Mode::kCreate);
  file.create_strings("names");
  Hdf5File moved(std::move(file));
  moved.append("names", Strings{"x"});
  file = Hdf5File(folder / "y.h5", Mode::kCreate);
  file = std::move(moved);
  CHECK(file.rows("names") == 1);
}

TEST_CASE("Hdf5File may be read from several threads", "[core][hdf5]") {
  const ScratchFolder folder;
  const auto rows = torch::arange(64 * 100).view({64, 100});
  {
    Hdf5File file(folder / "x.h5", Mode::kCreate);
    file.create_array("rows", torch::kLong, {100}, 4);
    file.append("rows", rows);
  }
  const Hdf5File shared(folder / "x.h5", Mode::kRead);
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      const Hdf5File own(folder / "x.h5", Mode::kRead);
      for (std::int64_t i = 0; i < 64; ++i) {
        const auto& file = i % 2 == 0 ? shared : own;
        if (!file.read("rows", i, i + 1).equal(rows.slice(0, i, i + 1))) ++wrong[t];
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}

TEST_CASE("Hdf5File says what does not fit a table", "[core][hdf5][errors]") {
  const ScratchFolder folder;
  Hdf5File file(folder / "x.h5", Mode::kCreate);
  file.create_array("maps", torch::kFloat, {2, 3}, 4);
  file.create_strings("names");

  REQUIRE_THROWS_MATCHES(file.append("maps", torch::zeros({5, 3, 2})), ShapeError,
                         Says("'maps': rows must be [n, row] with row [2, 3] Float on the CPU, got "
                              "[5, 3, 2] Float"));
  REQUIRE_THROWS_MATCHES(file.append("maps", torch::zeros({5, 2, 3}, torch::kDouble)), ShapeError,
                         Says("got [5, 2, 3] Double"));
  REQUIRE_THROWS_MATCHES(file.append("maps", torch::Tensor()), ShapeError,
                         Says("got an undefined tensor"));
  REQUIRE_THROWS_MATCHES(file.append("maps", Strings{"x"}), FileError,
                         Says("must hold strings, got an array"));
  REQUIRE_THROWS_MATCHES(file.append("absent", Strings{"x"}), FileError,
                         Says("x.h5: 'absent': must be a table of the file"));
  REQUIRE_THROWS_MATCHES(file.read("names", 0, 0), FileError,
                         Says("must hold an array, got strings"));
  REQUIRE_THROWS_MATCHES(file.create_strings("names"), FileError,
                         Says("must be a new name, but exists already"));
  REQUIRE_THROWS_MATCHES(file.create_array("x", torch::kHalf, {}, 1), ShapeError,
                         Says("must be u8, i32, i64, f32 or f64, got Half"));
  REQUIRE_THROWS_MATCHES(file.create_array("x", torch::kByte, {0}, 1), ShapeError,
                         Says("sizes must be positive, got rows of [0] in chunks of 1"));
  CHECK(file.rows("maps") == 0);

  file.append("maps", torch::zeros({2, 2, 3}));
  for (const auto& [begin, end] : {std::pair(0, 3), std::pair(-1, 1), std::pair(2, 1)}) {
    REQUIRE_THROWS_MATCHES(file.read("maps", begin, end), FileError, Says("must lie in [0, 2)"));
  }
  REQUIRE_THROWS_MATCHES(file.truncate("maps", 3), FileError, Says("must lie in [0, 2]"));
}

TEST_CASE("Hdf5File says what it cannot open or write", "[core][hdf5][errors]") {
  const ScratchFolder folder;
  rahf::io::write_atomically(folder / "text.h5", "no table of any kind");
  REQUIRE_THROWS_MATCHES(Hdf5File(folder / "absent.h5", Mode::kRead), FileError,
                         Says("absent.h5: cannot be opened as HDF5"));
  REQUIRE_THROWS_MATCHES(Hdf5File(folder / "text.h5", Mode::kRead), FileError,
                         Says("text.h5: cannot be opened as HDF5 (HDF5: "));
  REQUIRE_THROWS_MATCHES(Hdf5File(folder / "no/folder.h5", Mode::kCreate), FileError,
                         Says("folder.h5: cannot be created"));
  { Hdf5File(folder / "x.h5", Mode::kCreate).create_strings("names"); }
  Hdf5File file(folder / "x.h5", Mode::kRead);
  CHECK_THROWS_AS(file.append("names", Strings{"x"}), FileError);
  CHECK_THROWS_AS(file.set_attribute("/", "x", 1.0), FileError);
  CHECK_THROWS_AS(file.create_strings("more"), FileError);
  CHECK(file.rows("names") == 0);
}

TEST_CASE("Hdf5File survives files that are cut off", "[core][hdf5][errors]") {
  const ScratchFolder folder;
  {
    Hdf5File file(folder / "x.h5", Mode::kCreate);
    file.create_array("maps", torch::kByte, {4}, 2);
    file.append("maps", torch::arange(20, torch::kByte).view({5, 4}));
    file.create_strings("names");
    file.append("names", Strings{"one", "two"});
  }
  const auto whole = rahf::io::read_file(folder / "x.h5");
  int refused = 0;
  int steps = 0;
  for (std::size_t size = 0; size < whole.size(); size += 97) {
    ++steps;
    rahf::io::write_atomically(folder / "part.h5", whole.substr(0, size));
    try {
      const Hdf5File file(folder / "part.h5", Mode::kRead);
      file.read("maps", 0, file.rows("maps"));
      file.read_strings("names", 0, file.rows("names"));
    } catch (const FileError&) {
      ++refused;
    }
  }
  CHECK(refused == steps);
}

TEST_CASE("Hdf5File says that a disk is full, and its process ends in order",
          "[core][hdf5][errors]") {
  const ScratchFolder folder;
  const auto kind = GENERATE(0, 1, 2);
  const auto outcome = on_full_disk(200000, [&] {
    try {
      Hdf5File file(folder / "x.h5", Mode::kCreate);
      file.create_array("maps", torch::kByte, {1000}, 10);
      file.create_bytes("pictures");
      if (kind == 0) file.append("pictures", Bytes{std::vector<std::uint8_t>(300000, 7)});
      if (kind == 1) {
        torch::manual_seed(1);
        file.append("maps", torch::randint(0, 256, {300, 1000}, torch::kByte));
      }
      if (kind == 2) {
        for (int i = 0; i < 3000; ++i) {
          file.create_array("many/" + std::to_string(i), torch::kByte, {2}, 2);
        }
      }
      file.close();
    } catch (const FileError& error) {
      return std::string(error.what()).find("x.h5") != std::string::npos ? 7 : 8;
    }
    return 0;
  });
  CHECK(outcome == 7);
}

TEST_CASE("Hdf5File reads what was written, or says that it is damaged, whichever byte differs",
          "[core][hdf5][errors]") {
  const ScratchFolder folder;
  const auto path = folder / "x.h5";
  const auto maps = torch::arange(20, torch::kByte).view({5, 4});
  const Strings names{"one", "two", ""};
  const Bytes pictures{{1, 2, 3}, {}, std::vector<std::uint8_t>(500, 9)};
  {
    Hdf5File file(path, Mode::kCreate);
    file.create_array("maps", torch::kByte, {4}, 2);
    file.append("maps", maps);
    file.create_strings("names");
    file.append("names", names);
    file.create_bytes("pictures");
    file.append("pictures", pictures);
    file.set_attribute("/", "made by", std::string("a test"));
    file.close();
  }
  auto bytes = rahf::io::read_file(path);
  const auto step = std::max<std::size_t>(1, bytes.size() / 5000);
  int wrong = 0, refused = 0;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    const char flip = static_cast<char>(1 << at / step % 8);
    bytes[at] = static_cast<char>(bytes[at] ^ flip);
    std::ofstream(path, std::ios::binary) << bytes;
    bytes[at] = static_cast<char>(bytes[at] ^ flip);
    try {
      const Hdf5File file(path, Mode::kRead);
      wrong += !(file.rows("maps") == 5 && file.read("maps", 0, 5).equal(maps) &&
                 file.read_strings("names", 0, file.rows("names")) == names &&
                 file.read_bytes("pictures", 0, file.rows("pictures")) == pictures &&
                 file.string_attribute("/", "made by") == "a test");
    } catch (const FileError&) {
      ++refused;
    }
  }
  CHECK(wrong == 0);
  CHECK(refused > 100);
}
