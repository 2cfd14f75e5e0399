#include "rahf/core/options.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "rahf/core/io/atomic_file.h"
#include "support/catch.h"
#include "support/scratch.h"

using rahf::ConfigError;
using rahf::option_fields;
using rahf::UsageError;

namespace {

enum class Kind { kSmall, kLarge };

struct Inner {
  std::int64_t width = 8;
  bool bias = true;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("width", self.width, "D, channels; > 0");
    visit("bias", self.bias, "adds a bias");
  }
  bool operator==(const Inner&) const = default;
};

struct Outer {
  std::string name = "x";
  double rate = 1e-3;
  std::uint64_t seed = 1;
  bool fast = false;
  Kind kind = Kind::kSmall;
  std::vector<double> weights{0.5, 2};
  std::vector<std::int64_t> sizes{};
  std::vector<std::string> tags{"a", "b"};
  Inner vit{};

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("name", self.name, "any text");
    visit("rate", self.rate, "learning rate; > 0");
    visit("seed", self.seed, "of every draw");
    visit("fast", self.fast, "skips checks");
    visit("kind", self.kind, "size of the model");
    visit("weights", self.weights, "of the losses");
    visit("sizes", self.sizes, "of the layers");
    visit("tags", self.tags, "of the run");
    visit("vit", self.vit, "");
  }
  bool operator==(const Outer&) const = default;
};

struct Spelling {
  std::int64_t far_away = 0;
  bool very_far = false;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("far_away", self.far_away, "steps; > 0");
    visit("very_far", self.very_far, "and further");
  }
};

template <class Options>
void configure(Options& options, const std::string& text) {
  std::istringstream in(text);
  rahf::read_config(in, "a.cfg", option_fields(options));
}

rahf::CommandLine::Parsed parse(Outer& options, const std::vector<std::string>& arguments,
                                const std::string& positional = "") {
  const rahf::CommandLine line{.usage = "rahf try",
                               .summary = "Tries.",
                               .options = option_fields(options),
                               .positional = positional};
  return line.parse(arguments);
}

}  // namespace

template <>
struct rahf::EnumNames<Kind> {
  static constexpr std::array<std::pair<Kind, std::string_view>, 2> value{
      {{Kind::kSmall, "small"}, {Kind::kLarge, "large"}}};
};

TEST_CASE("Options read back from what was written are the same", "[core][options]") {
  Outer written;
  written.name = GENERATE("", "a prompt, with commas = and signs", " outer blanks ", "# no comment",
                          "a # b", "\"quoted\"", "back\\slash \\n", "two\nlines", "\"");
  written.rate = GENERATE(0.1, 1e-300, -12345678.9, 1.0 / 3);
  written.seed = 18446744073709551615U;
  written.fast = true;
  written.kind = Kind::kLarge;
  written.weights = {1.0 / 3, -1e-9};
  written.sizes = {-1, 9223372036854775807};
  written.tags = {"x", "", "y #1"};
  written.vit = {.width = 16, .bias = false};
  const auto text = rahf::write_config(option_fields(written));
  INFO(text);
  Outer read;
  configure(read, text);
  CHECK(read == written);
}

TEST_CASE("A config file may hold comments, blank lines and few options", "[core][options]") {
  Outer options;
  configure(options,
            "# a comment = here\n\n  rate=0.5  # half\r\nvit.width = 4\n"
            "name = \"a # b\" # c\nsizes =\ntags = p, q");
  Outer expected;
  expected.rate = 0.5;
  expected.vit.width = 4;
  expected.name = "a # b";
  expected.tags = {"p", "q"};
  CHECK(options == expected);
}

TEST_CASE("A config file's mistakes come with file, line and a hint", "[core][options][errors]") {
  const auto [text, message] = GENERATE(table<std::string, std::string>({
      {"seed = 2\n\nvit.widht = 3",
       "a.cfg:3: unknown option 'vit.widht' (did you mean 'vit.width'?)"},
      {"completely = 3", "a.cfg:1: unknown option 'completely'"},
      {"rate = 1\nseed = 1\nrate = 1", "a.cfg:3: option 'rate' is given twice (first in line 1)"},
      {"rate", "a.cfg:1: expected 'name = value', got 'rate'"},
      {"rate # = 1", "a.cfg:1: expected 'name = value'"},
      {"rate = fast", "a.cfg:1: rate must be a number, got 'fast'"},
      {"rate = 1 2", "must be a number, got '1 2'"},
      {"rate = nan", "must be a finite number, got 'nan'"},
      {"rate =", "must be a number, got ''"},
      {"vit.width = 1.5", "vit.width must be a whole number, got '1.5'"},
      {"vit.width = 9223372036854775808", "must be a whole number"},
      {"seed = -1", "must be a whole number that is not negative, got '-1'"},
      {"fast = maybe", "fast must be true or false, got 'maybe'"},
      {"kind = huge", "kind must be one of small|large, got 'huge'"},
      {"weights = 1,,2", "must be a number, got ''"},
      {"weights = 1,", "must be a number, got ''"},
      {"name = \"open", "name must end in a quote"},
      {"name = \"a\" b", "name must end at the closing quote, got 'b'"},
  }));
  Outer options;
  REQUIRE_THROWS_MATCHES(configure(options, text), ConfigError, Says(message));
}

TEST_CASE("A bad value leaves the option as it was", "[core][options]") {
  Outer options;
  CHECK_THROWS_AS(configure(options, "weights = 7,x"), ConfigError);
  CHECK_THROWS_AS(configure(options, "seed = 7x"), ConfigError);
  CHECK(options == Outer());
}

TEST_CASE("read_config names a file that is not there", "[core][options][errors]") {
  Outer options;
  REQUIRE_THROWS_MATCHES(rahf::read_config("/nowhere/a.cfg", option_fields(options)),
                         rahf::FileError, Says("/nowhere/a.cfg: cannot be opened"));
}

TEST_CASE("CommandLine sets options in every form", "[core][options]") {
  Outer options;
  const auto parsed = parse(options, {"--rate", "-0.5", "--vit.width=4", "--fast", "--kind",
                                      "large", "--vit.bias=false", "--name", "two words"});
  Outer expected;
  expected.rate = -0.5;
  expected.vit = {.width = 4, .bias = false};
  expected.fast = true;
  expected.kind = Kind::kLarge;
  expected.name = "two words";
  CHECK(options == expected);
  CHECK(parsed.was_given("rate"));
  CHECK(parsed.was_given("vit.bias"));
  CHECK_FALSE(parsed.was_given("seed"));
  CHECK(parsed.arguments.empty());
}

TEST_CASE("Options take dashes and underscores alike", "[core][options]") {
  Spelling options;
  const rahf::CommandLine line{
      .usage = "rahf x", .summary = "", .options = option_fields(options), .positional = ""};
  line.parse({"--far-away", "1", "--very-far"});
  CHECK(options.far_away == 1);
  CHECK(options.very_far);
  line.parse({"--far_away=2", "--very_far=false"});
  CHECK(options.far_away == 2);
  CHECK_FALSE(options.very_far);
  configure(options, "far-away = 3\nvery_far = true\n");
  CHECK(options.far_away == 3);
  CHECK(options.very_far);
  CHECK(line.help().find("--far-away VALUE") != std::string::npos);
  CHECK_THROWS_AS(line.parse({"--far-away", "1", "--far_away", "2"}), UsageError);
  CHECK_THROWS_AS(configure(options, "far-away = 3\nfar_away = 3\n"), ConfigError);
}

TEST_CASE("CommandLine keeps positional arguments in order", "[core][options]") {
  Outer options;
  const auto parsed =
      parse(options, {"b.png", "--fast", "a.png", "--rate", "2", "c.png"}, "PICTURE");
  CHECK(parsed.arguments == std::vector<std::string>{"b.png", "a.png", "c.png"});
  CHECK(options.fast);
  CHECK(options.rate == 2);
}

TEST_CASE("CommandLine takes all behind -- as positional", "[core][options]") {
  Outer options;
  const auto parsed = parse(options, {"--fast", "--", "--fast", "--help"}, "PICTURE");
  CHECK_FALSE(parsed.help);
  CHECK(parsed.arguments == std::vector<std::string>{"--fast", "--help"});
}

TEST_CASE("read_config passes over a byte-order mark and carriage returns", "[core][options]") {
  Outer options;
  configure(options, "\xEF\xBB\xBFrate = 2\r\nseed = 3\r\n");
  CHECK(options.rate == 2);
  CHECK(options.seed == 3);
}

TEST_CASE("CommandLine wins over the config file, which wins over defaults", "[core][options]") {
  const ScratchFolder folder;
  rahf::io::write_atomically(folder / "a.cfg", "rate = 5\nseed = 6\n");
  Outer options;
  const auto parsed =
      parse(options, {"--rate", "7", "--config", (folder / "a.cfg").string(), "--fast"});
  CHECK(options.rate == 7);
  CHECK(options.seed == 6);
  CHECK(options.vit.width == 8);
  CHECK(parsed.was_given("seed"));
}

TEST_CASE("CommandLine names the argument that is wrong", "[core][options][errors]") {
  const auto [arguments, message] = GENERATE(table<std::vector<std::string>, std::string>({
      {{"--rat", "1"}, "unknown option '--rat' (did you mean '--rate'?)"},
      {{"--vit.widht=1"}, "unknown option '--vit.widht' (did you mean '--vit.width'?)"},
      {{"--rate", "1", "--rate", "2"}, "--rate is given twice"},
      {{"--rate", "fast"}, "--rate must be a number, got 'fast'"},
      {{"--rate"}, "--rate"},
      {{"--fast=perhaps"}, "--fast must be true or false, got 'perhaps'"},
      {{"picture.png"}, "unexpected argument 'picture.png'"},
      {{"--fast", "false"}, "unexpected argument 'false'"},
  }));
  Outer options;
  REQUIRE_THROWS_MATCHES(parse(options, arguments), UsageError, Says(message));
}

TEST_CASE("CommandLine looks at nothing else when help is asked for", "[core][options]") {
  Outer options;
  CHECK(parse(options, {"--rate", "x", "--unknown", "--help"}).help);
  CHECK(options == Outer());
}

TEST_CASE("CommandLine's help lists each option with meaning and default", "[core][options]") {
  Outer options;
  const auto help = rahf::CommandLine{.usage = "rahf try",
                                      .summary = "Tries.",
                                      .options = option_fields(options),
                                      .positional = ""}
                        .help();
  for (const auto* part :
       {"usage: rahf try", "Tries.", "--rate VALUE", "learning rate; > 0 [0.001]",
        "--kind small|large", "size of the model [small]", "--vit.width VALUE", "--config FILE",
        "--help"}) {
    INFO(part);
    CHECK(help.find(part) != std::string::npos);
  }
}

namespace {

struct Course {
  double rate = 1;
  Inner part{};
  std::vector<rahf::Overrides<Inner>> stages;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("rate", self.rate, "learning rate");
    visit("part", self.part, "");
    visit("stage", self.stages, "");
  }
  bool operator==(const Course&) const = default;
};

}  // namespace

TEST_CASE("read_config fills the elements of a list by their numbers", "[core][options]") {
  Course course;
  std::istringstream text("stage.1.width = 3\nstage.3.bias = false\npart.width = 5\n");
  rahf::read_config(text, "course.cfg", option_fields(course));
  REQUIRE(course.stages.size() == 3);
  CHECK(course.stages[0].over(course.part) == Inner{.width = 3, .bias = true});
  CHECK(course.stages[1].over(course.part) == Inner{.width = 5, .bias = true});
  CHECK(course.stages[2].over(course.part) == Inner{.width = 5, .bias = false});

  const auto written = rahf::write_config(option_fields(course));
  CHECK(written ==
        "rate = 1\npart.width = 5\npart.bias = true\nstage.1.width = 3\nstage.3.bias = false\n");
  Course again;
  std::istringstream copy(written);
  rahf::read_config(copy, "copy.cfg", option_fields(again));
  CHECK(again == course);
  CHECK(rahf::option_values(option_fields(course)).at("stage.3.bias") == "false");
  CHECK_FALSE(rahf::option_values(option_fields(course)).contains("stage.1.bias"));
}

TEST_CASE("CommandLine sets an element of a list over the config file", "[core][options]") {
  const ScratchFolder scratch;
  rahf::io::write_atomically(scratch / "course.cfg", "stage.1.width = 3\nstage.2.width = 4\n");
  Course course;
  const rahf::CommandLine command{
      .usage = "course", .summary = "", .options = option_fields(course), .positional = ""};
  const auto parsed = command.parse({"--config", (scratch / "course.cfg").string(),
                                     "--stage.2.width", "9", "--stage.3.bias=false"});
  CHECK(parsed.was_given("stage.1.width"));
  CHECK(parsed.was_given("stage.2.width"));
  REQUIRE(course.stages.size() == 3);
  CHECK(course.stages[1].over({}).width == 9);
  CHECK_FALSE(course.stages[2].over({}).bias);
  CHECK(command.help().find("--stage.N.width") != std::string::npos);
}

TEST_CASE("read_config names a key or value that no element of a list can have",
          "[core][options][errors]") {
  Course course;
  const auto read = [&](const std::string& line) {
    std::istringstream text(line);
    rahf::read_config(text, "c.cfg", option_fields(course));
  };
  REQUIRE_THROWS_MATCHES(read("stage.0.width = 3"), ConfigError, Says("unknown option"));
  REQUIRE_THROWS_MATCHES(read("stage.100.width = 3"), ConfigError, Says("unknown option"));
  REQUIRE_THROWS_MATCHES(read("stage.N.width = 3"), ConfigError, Says("unknown option"));
  REQUIRE_THROWS_MATCHES(read("stage.1.widht = 3"), ConfigError,
                         Says("did you mean 'stage.N.width'?"));
  REQUIRE_THROWS_MATCHES(read("stage.1.width = wide"), ConfigError,
                         Says("c.cfg:1: stage.1.width must be a whole number, got 'wide'"));
  CHECK(course.stages.empty());
}
