#include "rahf/reward/model/prompt_codec.h"

#include "rahf/core/error.h"
#include "rahf/core/text/word_tokenizer.h"
#include "support/catch.h"
#include "support/paths.h"

using namespace rahf::reward;
using Ids = std::vector<std::int64_t>;
using Flags = std::vector<std::uint8_t>;
using Words = std::vector<std::string>;

namespace {

// 0 <pad>, 1 </s>, 2 <unk>, 3 _0, 4 a, 5 red, 6 cat, 7 <output>
PromptCodec small_codec() {
  return PromptCodec(
      std::make_shared<rahf::text::WordTokenizer>(Words{"_0", "a", "red", "cat", "<output>"}));
}

}  // namespace

TEST_CASE("PromptCodec marks misaligned words in what is to be written", "[reward][prompt_codec]") {
  const auto codec = small_codec();
  CHECK(codec.encoder_ids({"a", "red", "cat"}) == Ids{4, 5, 6, 1});
  CHECK(codec.encoder_ids({"a", "cat"}, "<output>") == Ids{7, 4, 6, 1});
  CHECK(codec.target_ids({"a", "red", "cat"}, {0, 1, 0}) == Ids{4, 5, 3, 6, 1});
  CHECK(codec.suffix_id() == 3);
}

TEST_CASE("PromptCodec knows the piece after every word", "[reward][prompt_codec]") {
  const auto plain = small_codec().plain({"a", "red", "cat"});
  CHECK(plain.ids == Ids{4, 5, 6, 1});
  CHECK(plain.next_word == Ids{1, 2, 3});
}

TEST_CASE("PromptCodec reads back every marking it writes", "[reward][prompt_codec]") {
  const auto codec = small_codec();
  const Words words = {"a", "red", "red", "cat"};
  const auto bits = GENERATE(range(0, 16));
  Flags flags;
  for (int i = 0; i < 4; ++i) flags.push_back(static_cast<std::uint8_t>(bits >> i & 1));
  CHECK(codec.parse(codec.target_ids(words, flags), words) == flags);
}

TEST_CASE("PromptCodec counts words that were not written, or otherwise, as aligned",
          "[reward][prompt_codec]") {
  const auto codec = small_codec();
  const Words words = {"a", "red", "cat"};
  CHECK(codec.parse({0, 4, 5, 3, 1, 0, 0}, words) == Flags{0, 1, 0});  // ended early
  CHECK(codec.parse({4, 6, 3, 6, 3, 1}, words) == Flags{0, 0, 1});     // "cat" instead of "red"
  CHECK(codec.parse({}, words) == Flags{0, 0, 0});
}

TEST_CASE("PromptCodec finds words behind one that is missing or too many",
          "[reward][prompt_codec]") {
  const auto codec = small_codec();
  CHECK(codec.parse({4, 6, 3, 1}, {"a", "red", "cat"}) == Flags{0, 0, 1});
  CHECK(codec.parse({4, 5, 5, 6, 3, 1}, {"a", "red", "cat"}) == Flags{0, 0, 1});
}

TEST_CASE("PromptCodec reads back marks on whatever words a prompt has", "[reward][prompt_codec]") {
  std::shared_ptr<const rahf::text::Tokenizer> tokenizer =
      std::make_shared<rahf::text::WordTokenizer>(Words{"_0", "a", "red", "cat"});
  if (GENERATE(false, true)) {
    tokenizer = rahf::text::load_tokenizer(rahf::test::fixtures() / "nn" / "sentencepiece");
  }
  const PromptCodec codec(tokenizer);
  // Unknown, in braces, composed and decomposed, emoji, full-width, ligature, with the suffix in
  // it, a space that does not break, and a mark of width zero, which normalises to nothing.
  const Words words = {"日本",  "x{a}y",    "café", "cafe\u0301", "🦊",   "ＡＢＣ", "ﬁsh",
                       "img_0", "a\u00a0b", "~",    "\u200b",     "\u0301", "{",      "cat"};
  const auto seed = GENERATE(range(0, 40));
  Flags flags;
  for (std::size_t i = 0; i < words.size(); ++i) {
    flags.push_back(static_cast<std::uint8_t>((seed * 2654435761U >> (i + 7)) & 1U));
  }
  CHECK(codec.parse(codec.target_ids(words, flags), words) == flags);
  const auto plain = codec.plain(words);
  for (std::size_t i = 1; i < words.size(); ++i) {
    CHECK(plain.next_word[i] > plain.next_word[i - 1]);
  }
}

TEST_CASE("PromptCodec pads on the right and says what counts", "[reward][prompt_codec]") {
  const auto batch = small_codec().pad({{4, 1}, {4, 5, 6}});
  CHECK(torch::equal(batch.ids, torch::tensor({{4, 1, 0}, {4, 5, 6}}, torch::kLong)));
  CHECK(torch::equal(batch.mask, torch::tensor({{true, true, false}, {true, true, true}})));
}

TEST_CASE("PromptCodec refuses what has no way to mark words", "[reward][prompt_codec][errors]") {
  REQUIRE_THROWS_MATCHES(small_codec().target_ids({"a"}, {}), rahf::ShapeError,
                         Says("one flag per word (1), got 0"));
  const auto without = std::make_shared<rahf::text::WordTokenizer>(Words{"a", "red"});
  REQUIRE_THROWS_MATCHES(PromptCodec(without), rahf::FileError,
                         Says("the tokenizer has no pieces of its own for the suffix '_0'"));
}
