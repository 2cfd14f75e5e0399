#include "rahf/core/text/clip_tokenizer.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "support/catch.h"
#include "support/paths.h"
#include "support/scratch.h"

using namespace rahf;
using Ids = std::vector<std::int64_t>;
using text::bpe_vocabulary;
using text::ClipTokenizer;

namespace {

std::filesystem::path fixture(const char* name) { return rahf::test::fixtures() / "nn" / name; }

const std::vector<std::string> kWords = {"a", "red", "circle", "square", "squares", ","};

}  // namespace

TEST_CASE("ClipTokenizer gives the reference ids for a thousand mixed prompts",
          "[core][tokenizer][parity]") {
  const auto tokenizer = ClipTokenizer::load(fixture("clip_bpe"));
  const auto cases = nlohmann::json::parse(io::read_file(fixture("clip_bpe") / "cases.json"));
  REQUIRE(cases.size() == 1000);
  std::size_t wrong = 0;
  for (const auto& one : cases) {
    if (tokenizer.encode(one.at("text").get<std::string>()) == one.at("ids").get<Ids>()) continue;
    UNSCOPED_INFO(one.at("text"));
    ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("ClipTokenizer gives the ids of the published vocabulary", "[core][tokenizer][parity]") {
  const auto tokenizer = ClipTokenizer::load(fixture("clip_golden"));
  CHECK(tokenizer.vocab_size() == 49408);
  CHECK(tokenizer.start_id() == 49406);
  CHECK(tokenizer.eos_id() == 49407);
  CHECK(tokenizer.pad_id() == 0);
  CHECK(tokenizer.encode("a photo of a cat") == Ids{320, 1125, 539, 320, 2368});
  CHECK(tokenizer.encode("na\u00efve caf\u00e9") == Ids{1097, 35689, 563, 15304});
  const auto cases = nlohmann::json::parse(io::read_file(fixture("clip_golden") / "cases.json"));
  for (const auto& one : cases) {
    const auto text = one.at("text").get<std::string>();
    INFO(text);
    CHECK(tokenizer.encode(text) == one.at("ids").get<Ids>());
  }
}

TEST_CASE("ClipTokenizer pads to its length and says which bytes each id stands for",
          "[core][tokenizer]") {
  const ClipTokenizer tokenizer(bpe_vocabulary(kWords), {.pad_token = "!", .length = 9});
  const std::string text = " A  red,circle";
  const auto padded = tokenizer.padded(text);
  const auto ids = tokenizer.encode(text);
  REQUIRE(ids.size() == 4);
  CHECK(padded.ids ==
        Ids{tokenizer.start_id(), ids[0], ids[1], ids[2], ids[3], tokenizer.eos_id(), 0, 0, 0});
  std::vector<std::string> parts;
  for (const auto& [begin, end] : padded.spans) parts.push_back(text.substr(begin, end - begin));
  CHECK(parts == std::vector<std::string>{"A", "red", ",", "circle"});
  CHECK(padded.cut.empty());
}

TEST_CASE("ClipTokenizer says what it had to cut", "[core][tokenizer]") {
  const ClipTokenizer tokenizer(bpe_vocabulary(kWords), {.length = 5});
  CHECK(tokenizer.padded("a red circle").cut.empty());
  const auto padded = tokenizer.padded("a red circle, Red  square");
  CHECK(padded.cut == ", Red  square");
  REQUIRE(padded.ids.size() == 5);
  CHECK(padded.ids.back() == tokenizer.eos_id());
  CHECK(padded.spans.size() == 3);
}

TEST_CASE("ClipTokenizer's spans lead back to the words of a composed text", "[core][tokenizer]") {
  // e and a combining accent become one character; the words around keep their places.
  const ClipTokenizer tokenizer(bpe_vocabulary({"a", "dog"}));
  const std::string text = "a e\u0301 dog";
  const auto padded = tokenizer.padded(text);
  REQUIRE(padded.spans.size() == 4);  // a, two bytes of one character, dog
  CHECK(text.substr(padded.spans[1].begin, 3) == "e\u0301");
  CHECK(padded.spans[2].end == 5);
  CHECK(text.substr(padded.spans[3].begin) == "dog");
}

TEST_CASE("bpe_vocabulary makes each word one token and spells any other text",
          "[core][tokenizer]") {
  const ClipTokenizer tokenizer(bpe_vocabulary(kWords));
  for (const auto& word : kWords) {
    INFO(word);
    CHECK(tokenizer.encode(word).size() == 1);
  }
  CHECK(tokenizer.encode("a RED circle, squares").size() == 5);
  CHECK(tokenizer.decode(tokenizer.encode("A red\tcircle,squares")) == "a red circle , squares");
  const std::string other = "\u00e9 zebra \u6f22 42 \xf0\x9f\x98\x80";
  CHECK(tokenizer.decode(tokenizer.encode(other)) == "\u00e9 zebra \u6f22 4 2 \xf0\x9f\x98\x80");
  REQUIRE_THROWS_MATCHES(bpe_vocabulary({"two words"}), ConfigError, Says("got 'two words'"));
  REQUIRE_THROWS_MATCHES(bpe_vocabulary({"x2"}), ConfigError, Says("got 'x2'"));
}

TEST_CASE("ClipTokenizer is restored by load_tokenizer", "[core][tokenizer]") {
  const ScratchFolder folder;
  const ClipTokenizer tokenizer(bpe_vocabulary(kWords), {.pad_token = "!", .length = 20});
  tokenizer.save(folder.path());
  const auto loaded = ClipTokenizer::load(folder.path());
  CHECK(loaded.length() == 20);
  CHECK(loaded.pad_id() == tokenizer.pad_id());
  CHECK(loaded.vocab_size() == tokenizer.vocab_size());
  const std::string text = "a red circle beside squares";
  CHECK(text::load_tokenizer(folder.path())->encode(text) == tokenizer.encode(text));
}

TEST_CASE("ClipTokenizer reads tokenizer.json where it is alone", "[core][tokenizer]") {
  const ScratchFolder folder;
  const auto vocabulary = bpe_vocabulary(kWords);
  nlohmann::json model = {{"type", "BPE"}, {"vocab", vocabulary.ids}};
  for (const auto& [left, right] : vocabulary.merges) {
    const bool as_text = model["merges"].size() % 2 == 0;  // older files, and newer ones
    model["merges"].push_back(as_text ? nlohmann::json(left + ' ' + right)
                                      : nlohmann::json{left, right});
  }
  std::ofstream(folder / "tokenizer.json") << nlohmann::json{{"model", model}};
  const std::string text = "a red circle, squares";
  CHECK(text::load_tokenizer(folder.path())->encode(text) ==
        ClipTokenizer(vocabulary).encode(text));
}

TEST_CASE("ClipTokenizer's pad token is the one that Hugging Face takes", "[core][tokenizer]") {
  const ScratchFolder folder;
  const ClipTokenizer tokenizer(bpe_vocabulary(kWords));
  tokenizer.save(folder.path());
  const auto config = [&](const char* json) {
    std::ofstream(folder / "tokenizer_config.json") << json;
  };
  const auto map = [&](const char* json) {
    std::ofstream(folder / "special_tokens_map.json") << json;
  };
  const auto pad = [&] { return ClipTokenizer::load(folder.path()).pad_id(); };
  config(R"({"pad_token": "<|endoftext|>"})");
  map(R"({"pad_token": "!"})");  // as Stable Diffusion 2's
  CHECK(pad() == 0);
  map(R"({"pad_token": {"content": "#"}})");
  CHECK(pad() == 2);
  config(R"({"pad_token": "!", "added_tokens_decoder": {}})");
  CHECK(pad() == 0);
  std::filesystem::remove(folder / "special_tokens_map.json");
  config(R"({"model_max_length": 1000000000000000019884624838656})");
  CHECK(pad() == tokenizer.eos_id());
  CHECK(ClipTokenizer::load(folder.path()).length() == 77);
}

TEST_CASE("ClipTokenizer rejects text that is not UTF-8 and names the byte", "[core][tokenizer]") {
  const ClipTokenizer tokenizer(bpe_vocabulary(kWords));
  const auto says = [&](const std::string& text, const char* message) {
    REQUIRE_THROWS_MATCHES(tokenizer.encode(text), ConfigError, Says(message));
  };
  says("a \xff", "text must be UTF-8, got other bytes at byte 2");
  says("\xc3", "at byte 0");
  says("a<|endoftext|>\xed\xa0\x80", "at byte 14");  // half of a surrogate pair
}

TEST_CASE("ClipTokenizer rejects a broken vocabulary with file and line", "[core][tokenizer]") {
  const ScratchFolder folder;
  ClipTokenizer(bpe_vocabulary({"ab"})).save(folder.path());
  const auto vocabulary = io::read_file(folder / "vocab.json");
  const auto says = [&](const char* name, const std::string& content, const char* message) {
    const auto before = io::read_file(folder / name);
    std::ofstream(folder / name) << content;
    INFO(content.substr(0, 60));
    REQUIRE_THROWS_MATCHES(ClipTokenizer::load(folder.path()), FileError, Says(message));
    std::ofstream(folder / name) << before;
  };
  says("vocab.json", "{", "vocab.json: must be a JSON object");
  says("vocab.json", R"({"a": "b"})", "the id of 'a' must be a whole number, got \"b\"");
  says("vocab.json", R"({"a": 1, "b": 1})", "ids must differ, got 'a' and 'b' for 1");
  says("vocab.json", R"({"a": -1})", "ids must be in [0, 2^24)");
  says("vocab.json", R"({"a": 1})", "the vocabulary must hold '<|startoftext|>'");
  says("merges.txt", "#version: 0.2\na b\n", "the vocabulary must hold 'ab'");
  says("merges.txt", "#version: 0.2\nab\n", "merges.txt:2: must be two tokens, got 'ab'");
  says("special_tokens_map.json", R"({"pad_token": "<pad>"})", "must hold '<pad>'");
  std::filesystem::remove(folder / "vocab.json");
  std::ofstream(folder / "tokenizer.json") << R"({"model": {"type": "Unigram"}})";
  REQUIRE_THROWS_MATCHES(ClipTokenizer::load(folder.path()), FileError,
                         Says("tokenizer.json: must hold a BPE model"));
}

TEST_CASE("ClipTokenizer encodes a long word in less than quadratic time", "[core][tokenizer]") {
  const ClipTokenizer tokenizer(bpe_vocabulary({"abab"}));
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "ab";
  CHECK(tokenizer.encode(text).size() > 50000);
}
