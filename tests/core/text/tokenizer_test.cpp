#include "rahf/core/text/tokenizer.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/text/sentencepiece_tokenizer.h"
#include "rahf/core/text/word_tokenizer.h"
#include "support/broken_files.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using Ids = std::vector<std::int64_t>;
using text::SentencePieceTokenizer;
using text::WordTokenizer;

namespace {

std::filesystem::path fixture() { return rahf::test::fixtures() / "nn" / "sentencepiece"; }
std::string model_bytes() { return io::read_file(fixture() / "spiece.model"); }

/// A SentencePiece model whose normaliser has this character map in place of its own.
std::string with_charsmap(const std::string& map) {
  const auto varint = [](std::size_t value) {
    std::string bytes;
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value & 0x7f | 0x80);
    return bytes + static_cast<char>(value);
  };
  const auto field = [&](int number, const std::string& bytes) {
    return std::string(1, static_cast<char>(number << 3 | 2)) + varint(bytes.size()) + bytes;
  };
  return model_bytes() + field(3, field(2, map));
}

}  // namespace

TEST_CASE("SentencePieceTokenizer gives the reference ids", "[core][tokenizer][parity]") {
  const auto tokenizer = text::load_tokenizer(fixture());
  const auto cases = nlohmann::json::parse(io::read_file(fixture() / "cases.json"));
  REQUIRE(cases.size() > 100);
  for (const auto& one : cases) {
    const auto text = one.at("text").get<std::string>();
    INFO(text);
    CHECK(tokenizer->encode(text) == one.at("ids").get<Ids>());
    if (text.find("<extra_id_") == text.npos) {
      CHECK(tokenizer->decode(tokenizer->encode(text)) == one.at("decoded").get<std::string>());
    }
  }
}

TEST_CASE("SentencePieceTokenizer numbers sentinels downwards from the last id",
          "[core][tokenizer]") {
  const SentencePieceTokenizer tokenizer(model_bytes(), "spiece.model");
  const auto first = tokenizer.encode("<extra_id_99>").at(0);
  CHECK(tokenizer.encode("<extra_id_0>") == Ids{first + 99});
  CHECK(tokenizer.vocab_size() % 128 == 0);
  CHECK(tokenizer.vocab_size() >= first + 100);
  CHECK(tokenizer.pad_id() == 0);
  CHECK(tokenizer.eos_id() == 1);
  auto ids = tokenizer.encode("a dog <extra_id_7> cat");
  ids.push_back(tokenizer.eos_id());
  ids.push_back(tokenizer.pad_id());
  ids.push_back(tokenizer.vocab_size() - 1);  // a row of the embedding without text
  CHECK(tokenizer.decode(ids) == "a dog<extra_id_7>cat");
}

TEST_CASE("SentencePieceTokenizer keeps a suffix out of the word's pieces", "[core][tokenizer]") {
  const SentencePieceTokenizer tokenizer(model_bytes(), "spiece.model");
  const auto word = tokenizer.encode("dog"), marked = tokenizer.encode("dog_0");
  REQUIRE(marked.size() > word.size());
  CHECK(Ids(marked.begin(), marked.begin() + std::ssize(word)) == word);
  CHECK(tokenizer.decode(marked) == "dog_0");
}

TEST_CASE("load_tokenizer takes the embedding's size from config.json", "[core][tokenizer]") {
  const ScratchFolder folder;
  text::load_tokenizer(fixture())->save(folder.path());
  std::ofstream(folder / "config.json") << R"({"vocab_size": 1000})";
  CHECK(text::load_tokenizer(folder.path())->vocab_size() == 1000);
  std::ofstream(folder / "config.json") << R"({"vocab_size": 10})";
  REQUIRE_THROWS_MATCHES(text::load_tokenizer(folder.path()), ConfigError,
                         Says("vocab_size must be >="));
}

TEST_CASE("WordTokenizer splits at white space and before the suffix of a misaligned word",
          "[core][tokenizer]") {
  const WordTokenizer tokenizer({"_0", "<output>", "HEATMAP:", "</output>", "a", "red", "circle"});
  CHECK(tokenizer.vocab_size() == 10);
  CHECK(tokenizer.encode("<output> HEATMAP: </output>\ta  red circle_0 ") ==
        Ids{4, 5, 6, 7, 8, 9, 3});
  CHECK(tokenizer.encode("unheard_0 of _0 _0_0") == Ids{2, 3, 2, 3, 3, 3});
  CHECK(tokenizer.encode(" \n").empty());
  CHECK(tokenizer.decode({0, 7, 8, 3, 2, 9, 1, 0, 77, -1}) == "a red_0 <unk> circle");
  CHECK(tokenizer.decode(tokenizer.encode("a_0 red circle_0")) == "a_0 red circle_0");
}

TEST_CASE("WordTokenizer is restored by load_tokenizer", "[core][tokenizer]") {
  const ScratchFolder folder;
  const WordTokenizer tokenizer({"a", "_0", "na\u00efve"});
  tokenizer.save(folder.path());
  const auto loaded = text::load_tokenizer(folder.path());
  CHECK(loaded->vocab_size() == 6);
  CHECK(loaded->encode("na\u00efve_0 a") == tokenizer.encode("na\u00efve_0 a"));
}

TEST_CASE("WordTokenizer rejects words that it could not tell apart", "[core][tokenizer]") {
  REQUIRE_THROWS_MATCHES(WordTokenizer({"a", "b", "a"}), ConfigError,
                         Says("words must differ, got 'a' again for id 5"));
  REQUIRE_THROWS_MATCHES(WordTokenizer({"a b"}), ConfigError,
                         Says("must not be empty or hold white space, got 'a b' for id 3"));
  REQUIRE_THROWS_MATCHES(WordTokenizer({"<pad>"}), ConfigError, Says("words must differ"));
}

TEST_CASE("load_tokenizer rejects a broken vocabulary with file and line", "[core][tokenizer]") {
  const ScratchFolder folder;
  const auto says = [&](const std::string& content, const char* message) {
    std::ofstream(folder / "vocabulary.txt") << content;
    INFO(content);
    REQUIRE_THROWS_MATCHES(text::load_tokenizer(folder.path()), FileError, Says(message));
  };
  REQUIRE_THROWS_MATCHES(text::load_tokenizer(folder.path()), FileError,
                         Says("must hold spiece.model, vocabulary.txt or vocab.json"));
  says("", "must begin with the lines <pad>, </s>, <unk>");
  says("<pad>\n</s>\nword\n", "vocabulary.txt:3: must be <unk>, got 'word'");
  says("<pad>\n</s>\n<unk>\n\nword\n", "got '' for id 3");
  says("<pad>\r\n</s>\n<unk>\n", "vocabulary.txt:1: must be <pad>");
  says("<pad>\n</s>\n<unk>\na\na\n", "got 'a' again for id 4");
}

TEST_CASE("SentencePieceTokenizer survives every broken model", "[core][tokenizer]") {
  const auto whole = model_bytes();
  std::size_t rejected = 0;
  const auto read = [&](const std::string& broken, std::size_t) {
    try {
      const SentencePieceTokenizer tokenizer(broken, "spiece.model");
      tokenizer.decode(tokenizer.encode("a red dog_0 \uff21\ufb01 <extra_id_3> \u6f22 e\u0301"));
    } catch (const FileError&) {
      ++rejected;
    }
  };
  for_each_prefix(whole, read);
  CHECK(rejected > whole.size() / 2);
  rejected = 0;
  for_each_bit_flip(whole, read);
  CHECK(rejected > whole.size() / 2);
}

TEST_CASE("SentencePieceTokenizer rejects character maps that lead out of their memory",
          "[core][tokenizer]") {
  const auto word = [](std::uint32_t value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
  };
  const auto rejects = [](const std::string& map) {
    REQUIRE_THROWS_MATCHES(SentencePieceTokenizer(with_charsmap(map), "spiece.model"), FileError,
                           Says("spiece.model: the normaliser's character map is broken"));
  };
  rejects("ab");                                                    // no room for its size
  rejects(word(8) + word(0));                                       // a trie longer than the map
  rejects(word(6) + std::string(6, 'x') + std::string(2, '\0'));    // not whole units
  rejects(word(4) + word(1 << 10) + "x");                           // texts without an end
  rejects(word(4) + word(0x3fffffu << 10) + std::string(1, '\0'));  // children outside
}
