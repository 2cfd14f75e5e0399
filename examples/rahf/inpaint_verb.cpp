#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "picture_requests.h"
#include "rahf/core/error.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/progress.h"
#include "rahf/generators/registry.h"
#include "sampling.h"
#include "verb.h"
#include "verbs.h"

namespace rahf::program {
namespace {

namespace fs = std::filesystem;

struct InpaintVerbOptions {
  std::string generator;
  std::string mask;
  std::string prompt;
  std::string prompts;
  std::uint64_t seed = 0;
  std::string out;
  std::string device = "cpu";
  SamplingOptions sampling;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("generator", self.generator, "pipeline folder (required)");
    visit("mask", self.mask,
          "picture, white where to redraw, of the pictures' size; or a folder with one for each "
          "picture, of the same file name (required)");
    visit("prompt", self.prompt, "what every picture is to show");
    visit("prompts", self.prompts,
          "CSV file with columns 'file' (from the CSV's folder) and 'prompt'; without PICTURE "
          "arguments all its files are redrawn");
    visit("seed", self.seed, "picture i depends on the seed, i and the options alone; >= 0");
    visit("out", self.out, "folder to write to, under the pictures' names (required)");
    visit("device", self.device, "cpu, cuda or cuda:N");
    SamplingOptions::fields(self.sampling, visit);
  }
  void validate() const {
    require_option("generator", generator);
    require_option("mask", mask);
    require_option("out", out);
    sampling.validate();
  }
};

/// @throws ShapeError naming the file unless the picture has the generator's size.
torch::Tensor read_picture(const fs::path& file, const GeneratorTraits& traits) {
  const auto image = io::read_image(file);
  if (image.height != traits.image_height || image.width != traits.image_width) {
    throw ShapeError(file.string() + ": must be " + std::to_string(traits.image_width) + " x " +
                     std::to_string(traits.image_height) + " pixels, as the generator makes them," +
                     " got " + std::to_string(image.width) + " x " + std::to_string(image.height));
  }
  return to_tensor(image);
}

/// [H, W] bool, true where white.
torch::Tensor read_mask(const fs::path& file, const GeneratorTraits& traits) {
  return read_picture(file, traits).mean(0) >= 0.5;
}

}  // namespace

int run_inpaint(const std::vector<std::string>& arguments) {
  InpaintVerbOptions options;
  CommonOptions common;
  CommandLine::Parsed parsed;
  const CommandLine command{
      .usage =
          "rahf inpaint --generator DIR --mask FILE PICTURE... --prompt TEXT | --prompts FILE.csv "
          "--out DIR",
      .summary = "Redraws the marked parts of pictures, and leaves the rest.",
      .options = verb_fields(options, common),
      .positional = "PICTURE"};
  if (parse_verb(command, arguments, common, parsed, [&] { options.validate(); })) return 0;

  const auto prompt = parsed.was_given("prompt") ? std::optional(options.prompt) : std::nullopt;
  const auto requests = collect_requests(prompt, options.prompts, parsed.arguments);
  const auto device = device_option(options.device);
  const auto generator = generators::load_generator(options.generator, device);
  const auto traits = generator->traits();
  if (!traits.inpaint) throw ConfigError(options.generator + ": this generator does not inpaint");

  const bool one_mask = !fs::is_directory(options.mask);
  const auto count = std::ssize(requests);
  auto written = nlohmann::ordered_json::array();
  fs::create_directories(options.out);
  Progress progress("pictures", count);
  for (std::ptrdiff_t first = 0; first < count; first += options.sampling.batch_size) {
    const auto last = std::min<std::ptrdiff_t>(count, first + options.sampling.batch_size);
    std::vector<torch::Tensor> images, masks;
    Prompts prompts;
    for (auto i = first; i < last; ++i) {
      const auto& picture = requests[i].picture;
      const fs::path mask = options.mask;
      images.push_back(read_picture(picture, traits));
      masks.push_back(read_mask(one_mask ? mask : mask / picture.filename(), traits));
      prompts.push_back({requests[i].prompt});
    }
    const auto redrawn =
        generator
            ->inpaint(torch::stack(images).to(device), torch::stack(masks).to(device), prompts,
                      options.sampling.sample_options(),
                      {.random = Randomness(options.seed), .first = first})
            .to(torch::kCPU, torch::kFloat);
    for (auto i = first; i < last; ++i) {
      const auto file = fs::path(options.out) / (requests[i].picture.stem().string() + ".png");
      io::write_image(file, to_image(redrawn[i - first]));
      written.push_back(file.string());
    }
    progress.add(last - first);
  }
  progress.finish();
  if (common.json) {
    const nlohmann::ordered_json result = {{"out", options.out}, {"pictures", written}};
    using Handler = nlohmann::ordered_json::error_handler_t;
    std::cout << result.dump(2, ' ', false, Handler::replace) << '\n';
  } else {
    std::cout << count << " pictures in " << options.out << '\n';
  }
  return 0;
}

}  // namespace rahf::program
