#include <algorithm>
#include <array>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "outputs.h"
#include "picture_requests.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/random.h"
#include "rahf/reward/data/dataset.h"
#include "rahf/reward/model/registry.h"
#include "rahf/reward/report/report_sheet.h"
#include "verbs.h"

namespace rahf::program {
namespace {

struct OverviewOptions {
  std::string model;
  std::vector<std::string> data;
  std::string split = "test";
  std::vector<std::string> samples;
  std::int64_t samples_each = 3;
  std::string out;
  std::int64_t count = 8;
  std::uint64_t seed = 0;
  double threshold = 0.5;
  std::string device = "cpu";

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("model", self.model, "folder of the reward");
    visit("data", self.data, "dataset files, separated by commas");
    visit("split", self.split, "which pictures: train, dev, test or all");
    visit("samples", self.samples,
          "prompts.csv files of 'rahf generate', whose pictures come last; separated by commas");
    visit("samples_each", self.samples_each, "pictures of each of these, from the first; > 0");
    visit("out", self.out, "picture to write (.png, .jpg, .webp)");
    visit("count", self.count, "pictures on the sheet; > 0");
    visit("seed", self.seed, "which pictures are drawn");
    visit("threshold", self.threshold, "probability from which a word is struck out; in [0, 1]");
    visit("device", self.device, "cpu, cuda or cuda:N");
  }
  void validate() const {
    if (count <= 0) throw UsageError("--count must be > 0");
    if (samples_each <= 0) throw UsageError("--samples-each must be > 0");
    if (!(threshold >= 0 && threshold <= 1)) throw UsageError("--threshold must be in [0, 1]");
  }
};

// What most annotators found: 1 for something implausible, 2 for something misaligned, 3 for both.
std::size_t kind_of(const reward::Sample& sample) {
  const bool implausible = sample.implausibility.max().item<std::int64_t>() >= 128;
  const bool misaligned = std::count(sample.misaligned_words.begin(), sample.misaligned_words.end(),
                                     std::uint8_t{1}) > 0;
  return (implausible ? 1 : 0) + (misaligned ? 2 : 0);
}

// Draws pictures so that each of the four kinds has its share, as far as there are any; flawed ones
// come first.
std::vector<reward::Sample> draw_samples(const reward::Dataset& dataset,
                                         const OverviewOptions& options) {
  constexpr std::int64_t kLooksPerPicture = 25;  // rare kinds are not searched for without end
  auto rows = dataset.indices(options.split);
  if (rows.empty()) throw ConfigError("split '" + options.split + "' holds no picture");
  auto engine = Randomness(options.seed).engine("overview", 0);
  std::array<std::vector<reward::Sample>, 4> by_kind;
  const auto share = static_cast<std::size_t>((options.count + 3) / 4);
  const auto enough = [&](const auto& some) { return some.size() >= share; };
  std::vector<reward::Sample> others;
  const auto looks = std::min(std::ssize(rows), kLooksPerPicture * options.count);
  for (std::int64_t i = 0; i < looks; ++i) {
    if (std::all_of(by_kind.begin(), by_kind.end(), enough)) break;
    std::swap(rows[i], rows[i + uniform_int(engine, std::ssize(rows) - i)]);
    auto sample = dataset.at(rows[i]);
    auto& kind = by_kind[kind_of(sample)];
    (enough(kind) ? others : kind).push_back(std::move(sample));
  }
  std::vector<reward::Sample> drawn;
  const auto take = [&](std::vector<reward::Sample>& from, std::size_t i) {
    if (i < from.size() && std::ssize(drawn) < options.count) drawn.push_back(std::move(from[i]));
  };
  for (std::size_t i = 0; i < share; ++i) {
    for (const std::size_t kind : {3, 1, 2, 0}) take(by_kind[kind], i);
  }
  for (std::size_t i = 0; i < others.size(); ++i) take(others, i);
  return drawn;
}

}  // namespace

int run_overview(const std::vector<std::string>& arguments) {
  OverviewOptions options;
  CommonOptions common;
  const CommandLine command{
      .usage = "rahf overview --model DIR --data FILE.h5 --out FILE.png",
      .summary =
          "Draws one sheet of pictures with what the reward says beside what people said:\n"
          "struck words, both heatmaps, and scores.",
      .options = verb_fields(options, common),
      .positional = ""};
  CommandLine::Parsed parsed;
  if (parse_verb(command, arguments, common, parsed, [&] { options.validate(); })) return 0;
  require_option("model", options.model);
  if (options.data.empty()) throw UsageError("--data is required");
  require_option("out", options.out);
  check_output(options.out, options.data, is_picture);

  const auto device = device_option(options.device);
  const reward::Dataset dataset({options.data.begin(), options.data.end()});
  auto samples = draw_samples(dataset, options);
  const auto model = reward::load_reward(options.model, device);
  std::vector<Image> pictures;
  std::vector<reward::PictureRequest> requests;
  for (const auto& sample : samples) {
    pictures.push_back(sample.picture);
    requests.push_back({sample.image, sample.prompt});
  }
  for (const auto& list : options.samples) {
    auto drawn = collect_requests(std::nullopt, list, {});
    drawn.resize(std::min(std::ssize(drawn), std::ptrdiff_t{options.samples_each}));
    for (auto& request : drawn) {
      pictures.push_back(io::read_image(request.picture));
      requests.push_back(std::move(request));
    }
  }
  samples.resize(requests.size());  // nobody judged what was generated
  auto predictions = reward::predict_batch(*model, std::move(pictures), requests);
  std::vector<reward::ReportRow> rows;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    rows.push_back({std::move(predictions[i]), std::move(samples[i])});
  }
  io::write_image(options.out, reward::report_sheet(rows, model->score_names(), options.threshold));

  if (common.json) {
    auto names = nlohmann::ordered_json::array();
    for (const auto& row : rows) {
      if (row.judged_by_people()) names.push_back(row.truth.image);
    }
    const nlohmann::ordered_json object = {{"out", options.out}, {"pictures", names}};
    using Handler = nlohmann::ordered_json::error_handler_t;
    std::cout << object.dump(2, ' ', false, Handler::replace) << '\n';
  } else {
    std::cout << options.out << ": " << rows.size() << " pictures of split " << options.split
              << '\n';
  }
  return 0;
}

}  // namespace rahf::program
