#include "program.h"

#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.h"
#include "verbs.h"

using rahf::program::run_program;

namespace {

// What goes to `stream` while it lives.
class Captured {
 public:
  explicit Captured(std::ostream& stream) : stream_(stream), old_(stream.rdbuf(text_.rdbuf())) {}
  ~Captured() { stream_.rdbuf(old_); }
  std::string text() const { return text_.str(); }

 private:
  std::ostream& stream_;
  std::ostringstream text_;
  std::streambuf* old_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the program answers wrong usage with status 2 and the list of verbs", "[program]") {
  Captured out(std::cout), error(std::cerr);
  SECTION("no verb") { CHECK(run_program({}) == 2); }
  SECTION("an unknown verb") {
    CHECK(run_program({"pretict"}) == 2);
    CHECK(contains(error.text(), "unknown verb 'pretict'"));
  }
  CHECK(contains(error.text(), "predict"));
  CHECK(out.text().empty());
}

TEST_CASE("the program's --help lists every verb", "[program]") {
  Captured out(std::cout);
  CHECK(run_program({"--help"}) == 0);
  for (const auto& verb : rahf::program::verbs()) {
    CHECK(contains(out.text(), std::string("\n  ") + verb.name + ' '));
    CHECK(contains(out.text(), verb.summary));
  }
}

TEST_CASE("each verb's --help shows its usage and explains every option", "[program]") {
  for (const auto& verb : rahf::program::verbs()) {
    CAPTURE(verb.name);
    Captured out(std::cout);
    CHECK(run_program({verb.name, "--help"}) == 0);
    CHECK(contains(out.text(), std::string("usage: rahf ") + verb.name));
  }
}

TEST_CASE("each verb answers an unknown option with status 2 and names it", "[program]") {
  for (const auto& verb : rahf::program::verbs()) {
    CAPTURE(verb.name);
    Captured error(std::cerr);
    CHECK(run_program({verb.name, "--no-such-option", "1"}) == 2);
    CHECK(contains(error.text(), "no-such-option"));
  }
}

TEST_CASE("a verb that cannot read its input ends with status 1 and says which", "[program]") {
  Captured out(std::cout), error(std::cerr);
  CHECK(run_program({"predict", "--model", "no/such/folder", "--prompt", "a", "--out", "unused",
                     "no/such/picture.png", "--quiet"}) == 1);
  CHECK(contains(error.text(), "no/such/"));
}
