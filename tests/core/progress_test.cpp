#include "rahf/core/progress.h"

#include <iostream>
#include <limits>
#include <sstream>

#include "support/catch.h"

using rahf::duration_text;
using rahf::Progress;

namespace {

// What `run` prints on standard error.
template <class Run>
std::string printed(const Run& run) {
  std::ostringstream text;
  auto* before = std::cerr.rdbuf(text.rdbuf());
  run();
  std::cerr.rdbuf(before);
  return text.str();
}

}  // namespace

TEST_CASE("duration_text shows the two largest units", "[core][progress]") {
  CHECK(duration_text(0) == "0s");
  CHECK(duration_text(12.4) == "12s");
  CHECK(duration_text(59.6) == "1m00s");
  CHECK(duration_text(200) == "3m20s");
  CHECK(duration_text(3599.4) == "59m59s");
  CHECK(duration_text(3720) == "1h02m");
  CHECK(duration_text(360000) == "100h00m");
}

TEST_CASE("duration_text survives what is no duration", "[core][progress]") {
  CHECK(duration_text(-5) == "0s");
  CHECK(duration_text(std::numeric_limits<double>::infinity()) == "277777h46m");
  CHECK(duration_text(std::numeric_limits<double>::quiet_NaN()) == "0s");
}

TEST_CASE("Progress prints its last state once", "[core][progress]") {
  const auto text = printed([] {
    Progress progress("pictures", 4);
    progress.add(3);
    progress.set(4, "loss 0.31");
    progress.finish();
    progress.finish();
  });
  CHECK(text.starts_with("[########################] 4/4 pictures"));
  CHECK(text.ends_with("loss 0.31\n"));
  CHECK(text.find('\n') == text.size() - 1);
}

TEST_CASE("Progress shows how far it came, and copes with odd totals", "[core][progress]") {
  CHECK(printed([] {
          Progress("pictures", 4).set(1);
        }).starts_with("[######..................] 1/4 pictures"));
  CHECK(printed([] {
          Progress("pictures", 4).set(9);
        }).starts_with("[########################] 9/4 pictures"));
  CHECK(printed([] { Progress("pictures", 0).set(9); }).starts_with("9 pictures"));
}

TEST_CASE("Progress is silent when told so", "[core][progress]") {
  Progress::silence(true);
  const auto text = printed([] { Progress("pictures", 4).set(4); });
  Progress::silence(false);
  CHECK(text.empty());
}
