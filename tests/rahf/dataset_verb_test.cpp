#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "program.h"
#include "rahf/core/io/atomic_file.h"
#include "reward/dataset_folder.h"
#include "support/catch.h"

using rahf::program::run_program;
using rahf::reward::write_annotation;

namespace {

struct Ran {
  int status;
  std::string out, error;
};

/// `rahf dataset ...` with what it prints.
Ran run(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "dataset");
  std::ostringstream out, error;
  auto* const old_out = std::cout.rdbuf(out.rdbuf());
  auto* const old_error = std::cerr.rdbuf(error.rdbuf());
  const int status = run_program(arguments);
  std::cout.rdbuf(old_out);
  std::cerr.rdbuf(old_error);
  return {status, out.str(), error.str()};
}

/// A picture, and annotations of it in two lines: a good record and `second`.
class Work {
 public:
  explicit Work(const std::string& second) {
    rahf::io::write_image(folder_ / "pictures/a.png", counting_picture(8, 8));
    const auto good = write_annotation(feedback("a.png", "a cat", "ann", 4));
    rahf::io::write_atomically(folder_ / "a.jsonl", good + '\n' + second + '\n');
  }
  std::string path(const char* name) const { return (folder_ / name).string(); }
  Ran consolidate(std::vector<std::string> more) const {
    std::vector<std::string> all = {"consolidate",   "--quiet",    "--annotations",
                                    path("a.jsonl"), "--pictures", path("pictures"),
                                    "--out",         path("a.h5")};
    all.insert(all.end(), more.begin(), more.end());
    return run(all);
  }

 private:
  ScratchFolder folder_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("rahf dataset consolidate writes a dataset that rahf dataset stats counts",
          "[program][dataset]") {
  const Work work(write_annotation(feedback("a.png", "a cat", "bob", 2)));
  const auto made = work.consolidate({"--json"});
  CHECK(made.status == 0);
  const auto json = nlohmann::json::parse(made.out);
  CHECK(json["pictures"] == 1);
  CHECK(json["records"] == 2);
  CHECK(json["map_size"] == 8);
  CHECK(json["left_out"] == 0);

  const auto counted = run({"stats", "--json", "--out", work.path("stats"), work.path("a.h5")});
  CHECK(counted.status == 0);
  const auto stats = nlohmann::json::parse(counted.out);
  CHECK(stats["scores"]["overall"]["mean"] == 0.5);
  CHECK(stats["scores"]["overall"]["max_difference"]["counts"][2] == 1);
  CHECK(rahf::io::read_image(work.path("stats/stats.png")).width == 1200);
  CHECK(rahf::io::read_file(work.path("stats/stats.json")) == counted.out);
  CHECK(run({"stats", work.path("a.h5"), "--split", "test"}).status == 0);
}

TEST_CASE("rahf dataset consolidate stops at a bad record unless told to leave it out",
          "[program][dataset]") {
  const Work work("{");
  const auto stopped = work.consolidate({});
  CHECK(stopped.status == 1);
  CHECK(contains(stopped.error, work.path("a.jsonl") + ":2: broken JSON"));
  CHECK(contains(stopped.error, "1 bad records; nothing was written (--skip-bad leaves them out)"));
  CHECK_FALSE(std::filesystem::exists(work.path("a.h5")));
  const auto done = work.consolidate({"--skip-bad"});
  CHECK(done.status == 0);
  CHECK(contains(done.error, ":2: broken JSON"));
  CHECK(contains(done.out, "1 bad records were left out"));
  CHECK(std::filesystem::exists(work.path("a.h5")));
}

TEST_CASE("rahf dataset answers wrong usage with status 2", "[program][dataset]") {
  CHECK(run({}).status == 2);
  CHECK(run({"consolidte"}).status == 2);
  CHECK(contains(run({"consolidate"}).error, "--annotations is required"));
  CHECK(run({"stats"}).status == 2);
  const Work work("");
  CHECK(work.consolidate({"--test-share", "2"}).status == 2);
  CHECK(run({"stats", work.path("none.h5")}).status == 1);
  CHECK(run({"--help"}).status == 0);
  CHECK(contains(run({"consolidate", "--help"}).out, "--skip-bad"));
}
