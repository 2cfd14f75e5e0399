#include "rahf/reward/train/caption_stream.h"

#include <cstdlib>
#include <map>
#include <set>

#include "rahf/core/error.h"
#include "support/catch.h"

using namespace rahf::reward;
using Words = std::vector<std::string>;

namespace {
const std::vector<std::string> kPrompts = {"a red circle", "a blue circle", "two green squares"};
const Words kCaption = {"a", "red", "circle"};
}  // namespace

TEST_CASE("CaptionStream replaces a word by one seen between the same neighbours",
          "[reward][caption_stream]") {
  const CaptionStream stream(kPrompts, {.corrupt_share = 1, .corrupt_words = 1});
  std::mt19937_64 engine(1);
  std::set<std::string> colours;
  for (int i = 0; i < 50; ++i) {
    const auto task = stream.draw(kCaption, engine);
    colours.insert(task.shown[1]);
    CHECK(task.shown == task.target);
    CHECK(task.misaligned == std::vector<std::uint8_t>{0, task.shown[1] != "red", 0});
    CHECK(task.shown[2] == "circle");  // nothing else was seen after either at an end
  }
  CHECK(colours == std::set<std::string>{"red", "blue"});
}

TEST_CASE("CaptionStream exchanges one word for two where prompts do", "[reward][caption_stream]") {
  const CaptionStream stream(
      {"a circle above a star", "a cross left of a star", "a circle left of a cross"},
      {.corrupt_share = 1, .corrupt_words = 0.5});
  std::mt19937_64 engine(4);
  std::set<Words> shown;
  for (int i = 0; i < 200; ++i) {
    const auto task = stream.draw({"a", "circle", "above", "a", "star"}, engine);
    REQUIRE(task.misaligned.size() == task.shown.size());
    shown.insert(task.shown);
    if (task.shown == Words{"a", "circle", "left", "of", "a", "star"}) {
      CHECK(task.misaligned == std::vector<std::uint8_t>{0, 0, 1, 1, 0, 0});
    }
  }
  CHECK(shown.count({"a", "circle", "above", "a", "star"}) == 1);
  CHECK(shown.count({"a", "circle", "left", "of", "a", "star"}) == 1);
}

TEST_CASE("CaptionStream hides words that are to be written", "[reward][caption_stream]") {
  std::mt19937_64 engine(2);
  SECTION("all of them") {
    const CaptionStream stream(kPrompts, {.corrupt_share = 0, .mask_all = 1});
    std::set<std::size_t> lengths;
    for (int i = 0; i < 50; ++i) {
      const auto task = stream.draw(kCaption, engine);
      lengths.insert(task.shown.size());
      CHECK(task.shown == Words(task.shown.size(), CaptionStream::kHidden));
      CHECK(task.target == kCaption);
      CHECK(task.misaligned == std::vector<std::uint8_t>(3, 0));
    }
    CHECK(lengths == std::set<std::size_t>{2, 3});  // a sentinel stands for one or two words
  }
  SECTION("about the share asked for") {
    const CaptionStream stream(kPrompts, {.corrupt_share = 0, .mask_words = 0.3, .mask_all = 0});
    int hidden = 0;
    for (int i = 0; i < 1000; ++i) {
      for (const auto& word : stream.draw(kCaption, engine).shown) {
        hidden += word == CaptionStream::kHidden ? 1 : 0;
      }
    }
    CHECK(hidden > 800);
    CHECK(hidden < 1000);
  }
}

TEST_CASE("CaptionStream at zero shares changes nothing", "[reward][caption_stream]") {
  const CaptionStream stream(kPrompts, {.corrupt_share = 1, .corrupt_words = 0});
  std::mt19937_64 engine(3);
  CHECK(stream.draw(kCaption, engine).shown == kCaption);
}

TEST_CASE("CaptionStream hides, keeps or exchanges a whole phrase", "[reward][caption_stream]") {
  const Words caption = {"a", "star", "left", "of", "a", "cross"};
  const CaptionStream stream(
      kPrompts, {.phrases = {"above", "below", "left of", "right of"}, .phrase_share = 1});
  CHECK(stream.has_phrase(caption));
  CHECK_FALSE(stream.has_phrase(kCaption));
  std::mt19937_64 engine(6);
  std::map<Words, int> shown;
  for (int i = 0; i < 1200; ++i) {
    const auto task = stream.draw(caption, engine);
    ++shown[task.shown];
    if (task.hidden) {
      CHECK(task.shown == Words{"a", "star", CaptionStream::kHidden, "a", "cross"});
      CHECK(task.target == caption);
      CHECK(task.asked == std::vector<std::uint8_t>{0, 0, 1, 1, 0, 0});
    } else {
      CHECK(task.shown == task.target);
      CHECK(task.asked == std::vector<std::uint8_t>(task.target.size(), 1));
    }
    // "right of" is wrong as a whole, although "of" is right.
    if (task.shown == Words{"a", "star", "right", "of", "a", "cross"}) {
      CHECK(task.misaligned == std::vector<std::uint8_t>{0, 0, 1, 1, 0, 0});
    }
  }
  REQUIRE(shown.size() == 5);
  CHECK(std::abs(shown.at({"a", "star", CaptionStream::kHidden, "a", "cross"}) - 600) < 60);
  CHECK(std::abs(shown.at(caption) - 300) < 50);
  CHECK(std::abs(shown.at({"a", "star", "right", "of", "a", "cross"}) - 200) < 50);
  CHECK(std::abs(shown.at({"a", "star", "above", "a", "cross"}) - 50) < 25);
}

TEST_CASE("CaptionOptions names the share out of range", "[reward][caption_stream][errors]") {
  REQUIRE_THROWS_MATCHES(CaptionStream(kPrompts, {.mask_words = 2}), rahf::ConfigError,
                         Says("CaptionOptions.mask_words = 2, must be in [0, 1]"));
  REQUIRE_THROWS_MATCHES(CaptionStream(kPrompts, {.phrase_share = 1}), rahf::ConfigError,
                         Says("phrases must be two or more with phrase_share, got 0"));
  REQUIRE_THROWS_MATCHES(CaptionStream(kPrompts, {.phrases = {"a", "a"}}), rahf::ConfigError,
                         Says("phrases must differ and hold a word, got a,a"));
}
