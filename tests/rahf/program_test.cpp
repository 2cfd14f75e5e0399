#include "program.h"

#include <iostream>
#include <string>
#include <vector>

#include "support/captured.h"
#include "support/catch.h"
#include "verbs.h"

using rahf::program::run_program;

namespace {

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

TEST_CASE("each verb's --help shows its usage", "[program]") {
  for (const auto& verb : rahf::program::verbs()) {
    CAPTURE(verb.name);
    Captured out(std::cout);
    CHECK(run_program({verb.name, "--help"}) == 0);
    CHECK(contains(out.text(), std::string("usage: rahf ") + verb.name));
  }
}

TEST_CASE("each verb answers an unknown option with status 2, and names it or shows its usage",
          "[program]") {
  for (const auto& verb : rahf::program::verbs()) {
    CAPTURE(verb.name);
    Captured error(std::cerr);
    CHECK(run_program({verb.name, "--no-such-option", "1"}) == 2);
    CHECK((contains(error.text(), "'--no-such-option'") ||
           contains(error.text(), std::string("usage: rahf ") + verb.name)));
  }
}

TEST_CASE("a verb that cannot read its input ends with status 1 and says which", "[program]") {
  Captured out(std::cout), error(std::cerr);
  CHECK(run_program({"predict", "--model", "no/such/folder", "--prompt", "a", "--out", "unused",
                     "no/such/picture.png", "--quiet"}) == 1);
  CHECK(contains(error.text(), "no/such/"));
}
