#include "rahf/core/io/csv.h"

#include "rahf/core/error.h"
#include "support/catch.h"

using rahf::FileError;
using rahf::io::csv_line;
using rahf::io::parse_csv;

TEST_CASE("parse_csv reads quoted commas, quotes and line breaks", "[core][csv]") {
  const auto csv = parse_csv(
      "\xEF\xBB\xBF"
      "file,prompt\r\na.png,a cat\r\n\r\n"
      "\"b,c.png\",\"a \"\"big\"\"\ndog\"\nd.png,",
      "list.csv");

  CHECK(csv.header == std::vector<std::string>{"file", "prompt"});
  REQUIRE(csv.rows.size() == 3);
  CHECK(csv.rows[0] == std::vector<std::string>{"a.png", "a cat"});
  CHECK(csv.rows[1] == std::vector<std::string>{"b,c.png", "a \"big\"\ndog"});
  CHECK(csv.rows[2] == std::vector<std::string>{"d.png", ""});
  CHECK(csv.lines == std::vector<std::size_t>{2, 4, 6});
  CHECK(csv.column("prompt") == 1);
}

TEST_CASE("parse_csv says in which line the text is broken", "[core][csv][errors]") {
  const auto says = [](const char* text, const char* message) {
    REQUIRE_THROWS_MATCHES(parse_csv(text, "list.csv"), FileError, Says(message));
  };
  says("", "list.csv:1: expected a header row, got nothing");
  says("a,b\n1,2\n3\n", "list.csv:3: expected 2 fields as in the header, got 1");
  says("a,b\n1,2\ncaf\xe9,3\n", "list.csv:3: text must be UTF-8, got the byte \\xe9");
  says("a,b,a\n1,2,3\n", "list.csv:1: the header must name each column once, got 'a' twice");
  says("a,b\n1,\"2\n\n", "list.csv:2: a quote is opened and never closed");
  says("a\n\"1\n2\"x\n", "list.csv:3: expected a comma or the line's end after a closing quote");
  says("a,b\n1,x\"y\"\n", "list.csv:2: a field with a quote in it must be in quotes");
}

TEST_CASE("Csv::column names the columns there are", "[core][csv][errors]") {
  const auto csv = parse_csv("file,text\n", "list.csv");
  REQUIRE_THROWS_MATCHES(
      csv.column("prompt"), FileError,
      Says("list.csv:1: the header must name a column 'prompt', got: file text"));
}

TEST_CASE("csv_line writes what parse_csv reads", "[core][csv]") {
  CHECK(csv_line({"a", "b c", "1"}) == "a,b c,1\n");
  const std::vector<std::string> row =
      GENERATE(std::vector<std::string>{"", "x"}, std::vector<std::string>{""},
               std::vector<std::string>{"a,b", "say \"no\"", "two\nlines\r\n"});
  CHECK(parse_csv(csv_line(row), "back").header == row);
}
