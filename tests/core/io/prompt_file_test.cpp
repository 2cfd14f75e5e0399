#include "rahf/core/io/prompt_file.h"

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "support/catch.h"
#include "support/scratch.h"

using rahf::io::read_prompts;

TEST_CASE("read_prompts reads one prompt a line", "[io][prompts]") {
  const ScratchFolder scratch;
  rahf::io::write_atomically(scratch / "p.txt", "# colours\n  a red cat \r\n\n\ttwo dogs");
  const auto prompts = read_prompts(scratch / "p.txt");
  REQUIRE(prompts.size() == 2);
  CHECK(prompts[0].text == "a red cat");
  CHECK(prompts[1].text == "two dogs");
}

TEST_CASE("read_prompts reads a CSV file's column", "[io][prompts]") {
  const ScratchFolder scratch;
  rahf::io::write_atomically(scratch / "p.csv", "file,prompt\na.png,\"red, and\nblue\"\nb.png,x\n");
  const auto prompts = read_prompts(scratch / "p.csv");
  REQUIRE(prompts.size() == 2);
  CHECK(prompts[0].text == "red, and\nblue");
}

TEST_CASE("read_prompts refuses files without a prompt", "[io][prompts]") {
  const ScratchFolder scratch;
  rahf::io::write_atomically(scratch / "p.txt", "\n# nothing\n");
  CHECK_THROWS_MATCHES(read_prompts(scratch / "p.txt"), rahf::FileError, Says("holds no prompt"));
  CHECK_THROWS_MATCHES(read_prompts(scratch / "none.txt"), rahf::FileError, Says("cannot be read"));
  rahf::io::write_atomically(scratch / "p.csv", "file\na.png\n");
  CHECK_THROWS_MATCHES(read_prompts(scratch / "p.csv"), rahf::FileError, Says("prompt"));
}
