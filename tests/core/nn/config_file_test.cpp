#include "rahf/core/nn/config_file.h"

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "support/catch.h"
#include "support/scratch.h"

using rahf::nn::ConfigFile;

namespace {

ConfigFile written(const ScratchFolder& scratch, const char* text) {
  rahf::io::write_atomically(scratch / "config.json", text);
  return ConfigFile(scratch / "config.json");
}

struct Sizes {
  std::int64_t width = 3;
  double eps = 0.5;
  bool bias = true;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("width", self.width, "");
    visit("eps", self.eps, "");
    visit("bias", self.bias, "");
  }
};

}  // namespace

TEST_CASE("ConfigFile fills the fields it has and leaves the others", "[core][config_file]") {
  const ScratchFolder scratch;
  Sizes sizes;
  written(scratch, R"({"width": 7, "bias": null, "eps": 1, "more": {}})").read_fields(sizes);
  CHECK(sizes.width == 7);
  CHECK(sizes.eps == 1.0);
  CHECK(sizes.bias);
}

TEST_CASE("ConfigFile reads lists and objects within", "[core][config_file]") {
  const ScratchFolder scratch;
  const auto file =
      written(scratch, R"({"types": ["a", "b"], "channels": [4, 8], "text_config": {"width": 5}})");
  std::vector<std::string> types;
  std::vector<std::int64_t> channels;
  file.require("types", types);
  file.require("channels", channels);
  CHECK(types == std::vector<std::string>{"a", "b"});
  CHECK(channels == std::vector<std::int64_t>{4, 8});
  std::int64_t width = 0;
  file.section("text_config").require("width", width);
  CHECK(width == 5);
}

TEST_CASE("ConfigFile takes Python's infinities for no value", "[core][config_file]") {
  const ScratchFolder scratch;
  const auto file = written(
      scratch, R"({"least": -Infinity, "nan": [NaN], "text": "a \"Infinity\" NaN", "eps": 2.5})");
  CHECK_FALSE(file.has("least"));
  std::string text;
  file.require("text", text);
  CHECK(text == "a \"Infinity\" NaN");
  double eps = 0;
  file.require("eps", eps);
  CHECK(eps == 2.5);
}

TEST_CASE("ConfigFile names file, section and key of what does not fit", "[core][config_file]") {
  const ScratchFolder scratch;
  const auto file = written(scratch, R"({"channels": [4, "8"], "inner": {"eps": "x"}, "n": 1.5})");
  std::vector<std::int64_t> channels;
  double eps = 0;
  std::int64_t n = 0;
  REQUIRE_THROWS_MATCHES(file.read("channels", channels), rahf::ConfigError,
                         Says("config.json: channels has the wrong type: [4,\"8\"]"));
  REQUIRE_THROWS_MATCHES(file.read("n", n), rahf::ConfigError, Says("n has the wrong type: 1.5"));
  REQUIRE_THROWS_MATCHES(file.section("inner").read("eps", eps), rahf::ConfigError,
                         Says("config.json: inner: eps has the wrong type"));
  REQUIRE_THROWS_MATCHES(file.section("inner").require("width", n), rahf::ConfigError,
                         Says("inner: width is missing"));
  REQUIRE_THROWS_MATCHES(file.section("n"), rahf::ConfigError,
                         Says("n must be an object, got 1.5"));
  REQUIRE_THROWS_MATCHES(written(scratch, "[1]"), rahf::FileError, Says("must be a JSON object"));
}
