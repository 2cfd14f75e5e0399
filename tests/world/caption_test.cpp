#include "rahf/world/caption.h"

#include <algorithm>
#include <random>
#include <set>

#include "rahf/core/words.h"
#include "support/catch.h"

using namespace rahf::world;

TEST_CASE("caption says what a description holds", "[world][caption]") {
  Description description;
  description.first = {2, Size::kSmall, Colour::kRed, Shape::kCircle};
  CHECK(caption(description) == "two small red circles");
  description.second = Group{1, Size::kLarge, Colour::kBlue, Shape::kStar};
  CHECK(caption(description) == "two small red circles above a large blue star");
  description.relation = Relation::kLeftOf;
  description.first = {3, Size::kLarge, Colour::kBlack, Shape::kCross};
  CHECK(caption(description) == "three large black crosses left of a large blue star");
}

TEST_CASE("parse_caption gives back the description of every caption", "[world][caption]") {
  std::mt19937_64 engine(1);
  for (int i = 0; i < 5000; ++i) {
    const auto description = random_description(engine, 0.65);
    const auto text = caption(description);
    const auto parsed = parse_caption(text);
    REQUIRE(parsed);
    REQUIRE(*parsed == description);
    REQUIRE(caption(*parsed) == text);
  }
}

TEST_CASE("parse_caption refuses what is outside the grammar", "[world][caption]") {
  for (const auto* text :
       {"", "a", "a small red", "two small red circle", "a small red circles", "a red small circle",
        "a small red circle above", "a small red circle left a large blue star",
        "a small red circle above of a large blue star", "a small pink circle",
        "a small red circle a large blue star",
        "a small red circle above a large blue star above a large blue star"}) {
    INFO(text);
    CHECK_FALSE(parse_caption(text));
  }
  CHECK(parse_caption(" a small red circle, above a large blue star. "));
}

TEST_CASE("caption_words gives the words that split_words counts", "[world][caption]") {
  std::mt19937_64 engine(2);
  for (int i = 0; i < 200; ++i) {
    const auto description = random_description(engine, 0.65);
    std::vector<std::string> texts;
    for (const auto& word : caption_words(description)) texts.push_back(word.text);
    REQUIRE(texts == rahf::split_words(caption(description)));
  }
}

TEST_CASE("vocabulary holds every word of captions, and each once", "[world][caption]") {
  const auto words = vocabulary();
  const std::set<std::string> known(words.begin(), words.end());
  CHECK(known.size() == words.size());
  std::set<std::string> used;
  std::mt19937_64 engine(3);
  for (int i = 0; i < 3000; ++i) {
    for (const auto& word : caption_words(random_description(engine, 0.65))) used.insert(word.text);
  }
  CHECK(used == known);
}
