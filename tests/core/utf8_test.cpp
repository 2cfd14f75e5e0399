#include "rahf/core/utf8.h"

#include "support/catch.h"

using rahf::find_not_utf8;
using rahf::is_utf8;
using rahf::printable;
using rahf::utf8_prefix;

TEST_CASE("find_not_utf8 finds the first byte that belongs to no character", "[core][utf8]") {
  CHECK(is_utf8(""));
  CHECK(is_utf8("caf\u00e9 \u65e5\u672c \U0001f98a"));
  CHECK(find_not_utf8("caf\xe9 bar") == 3);           // Latin-1
  CHECK(find_not_utf8("ab\xc3") == 2);                // cut off
  CHECK(find_not_utf8("\xc0\xaf") == 0);              // overlong
  CHECK(find_not_utf8("\xe0\x80\xaf") == 0);          // overlong
  CHECK(find_not_utf8("x\xed\xa0\x80") == 1);         // a surrogate
  CHECK(find_not_utf8("\xf4\x90\x80\x80") == 0);      // beyond U+10FFFF
  CHECK(find_not_utf8("\xf4\x8f\xbf\xbf\x80") == 4);  // the last character, and too much
}

TEST_CASE("printable shows what a terminal would obey or cannot show", "[core][utf8]") {
  CHECK(printable("a\u00e9\U0001f98a") == "a\u00e9\U0001f98a");
  CHECK(printable("\x1b[31mred\n") == "\\x1b[31mred\\x0a");
  CHECK(printable("\xc2\x9b") == "\\xc2\\x9b");  // C1's own way to begin a command
  CHECK(printable("\x7f\xff") == "\\x7f\\xff");
}

TEST_CASE("utf8_prefix cuts between characters", "[core][utf8]") {
  CHECK(utf8_prefix("abc", 3) == "abc");
  CHECK(utf8_prefix("ab\u00e9", 3) == "ab");
  CHECK(utf8_prefix("\U0001f98a", 3).empty());
}
