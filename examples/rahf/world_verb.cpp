#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "outputs.h"
#include "rahf/world/write_world.h"
#include "verbs.h"
#include "world_options.h"

namespace rahf::program {
namespace {

struct WorldVerbOptions {
  std::int64_t count = 1000;
  std::uint64_t seed = 0;
  std::string out;
  bool clean = false;
  WorldChoice world;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("count", self.count, "pictures; > 0");
    visit("seed", self.seed, "picture i depends on the seed, i and the options alone; >= 0");
    visit("out", self.out, "folder to write to (required)");
    visit("clean", self.clean, "neither flaws nor mismatches");
    WorldChoice::fields(self.world, visit);
  }
};

}  // namespace

int run_world(const std::vector<std::string>& arguments) {
  WorldVerbOptions options;
  CommonOptions common;
  CommandLine::Parsed parsed;
  const CommandLine command{
      .usage = "rahf world --count N --seed S --out DIR",
      .summary =
          "Writes pictures of the closed world (DIR/pictures), what simulated people say "
          "about them (DIR/annotations.jsonl), and what is exactly true (DIR/truth.h5).",
      .options = verb_fields(options, common),
      .positional = ""};
  const auto validate = [&] {
    require_option("out", options.out);
    if (options.count <= 0) throw UsageError("--count must be > 0");
    options.world.complete(parsed);
    options.world.options.validate();
  };
  if (parse_verb(command, arguments, common, parsed, validate)) return 0;
  const std::filesystem::path out(options.out);
  check_output(out / "truth.h5", {}, is_hdf5);
  check_output(out / "annotations.jsonl", {}, [&](const std::string&) {
    return std::filesystem::exists(out / "truth.h5");  // else they are people's
  });
  auto& world = options.world.options;
  if (options.clean) world.flawed_share = world.mismatched_share = 0;

  const auto summary =
      world::write_world(options.out, options.count, world, Randomness(options.seed));
  if (common.json) {
    const nlohmann::ordered_json result = {{"out", options.out},
                                           {"pictures", summary.pictures},
                                           {"flawed", summary.flawed},
                                           {"mismatched", summary.mismatched}};
    std::cout << result.dump() << '\n';
  } else {
    std::cout << summary.pictures << " pictures, " << summary.flawed << " of them flawed and "
              << summary.mismatched << " not as their caption says, in " << options.out << '\n';
  }
  return 0;
}

}  // namespace rahf::program
