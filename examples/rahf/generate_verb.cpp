#include <chrono>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "rahf/core/draw/picture_grid.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/csv.h"
#include "rahf/core/io/image_file.h"
#include "rahf/generators/registry.h"
#include "sampling.h"
#include "verb.h"
#include "verbs.h"

namespace rahf::program {
namespace {

namespace fs = std::filesystem;

struct GenerateVerbOptions {
  std::string generator;
  std::string prompt;
  std::string prompts;
  std::int64_t count = 1;
  std::uint64_t seed = 0;
  std::string out;
  std::int64_t columns = 8;
  std::string device = "cpu";
  SamplingOptions sampling;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("generator", self.generator, "pipeline folder (required)");
    visit("prompt", self.prompt, "what every picture is to show");
    visit("prompts", self.prompts,
          "file of prompts, one a line, or a .csv with a column 'prompt'; in place of --prompt");
    visit("count", self.count, "pictures for each prompt; > 0");
    visit("seed", self.seed, "picture i depends on the seed, i and the options alone; >= 0");
    visit("out", self.out, "folder to write to (required)");
    visit("columns", self.columns, "pictures in a row of grid.png; > 0");
    visit("device", self.device, "cpu, cuda or cuda:N");
    SamplingOptions::fields(self.sampling, visit);
  }
  void validate() const {
    require_option("generator", generator);
    require_option("out", out);
    if (columns <= 0) throw UsageError("--columns must be > 0");
    sampling.validate();
  }
};

}  // namespace

int run_generate(const std::vector<std::string>& arguments) {
  GenerateVerbOptions options;
  CommonOptions common;
  CommandLine::Parsed parsed;
  const CommandLine command{
      .usage = "rahf generate --generator DIR --prompt TEXT | --prompts FILE --seed S --out DIR",
      .summary =
          "Samples pictures: DIR/00000.png, ..., all of them in DIR/grid.png, and "
          "DIR/prompts.csv,\n"
          "which 'rahf predict' and 'rahf inspect' take.",
      .options = verb_fields(options, common),
      .positional = ""};
  if (parse_verb(command, arguments, common, parsed, [&] { options.validate(); })) return 0;

  const auto prompts = prompts_option(options.prompt, options.prompts, options.count);
  const auto device = device_option(options.device);
  const auto generator = generators::load_generator(options.generator, device);
  const fs::path folder = options.out;
  fs::create_directories(folder);

  const auto began = std::chrono::steady_clock::now();
  std::string table = io::csv_line({"file", "prompt"});
  std::vector<std::string> files;
  std::vector<torch::Tensor> shown;
  sample_pictures(*generator, prompts, options.sampling, options.seed,
                  [&](std::int64_t first, const torch::Tensor& images) {
                    shown.push_back(images.to(torch::kCPU, torch::kFloat));
                    for (std::int64_t i = 0; i < images.size(0); ++i) {
                      const auto name = picture_file_name(first + i);
                      io::write_image(folder / name, to_image(shown.back()[i]));
                      table += io::csv_line({name, prompts[first + i].text});
                      files.push_back((folder / name).string());
                    }
                  });
  io::write_image(folder / "grid.png", draw::picture_grid(torch::cat(shown), options.columns));
  io::write_atomically(folder / "prompts.csv", table);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  const double rate = static_cast<double>(files.size()) / seconds;
  if (common.json) {
    const nlohmann::ordered_json result = {
        {"out", options.out}, {"pictures", files}, {"pictures_per_second", rate}};
    using Handler = nlohmann::ordered_json::error_handler_t;
    std::cout << result.dump(2, ' ', false, Handler::replace) << '\n';
  } else {
    std::cout << files.size() << " pictures in " << options.out << " (" << rate
              << " a second); all of them: " << (folder / "grid.png").string() << '\n';
  }
  return 0;
}

}  // namespace rahf::program
