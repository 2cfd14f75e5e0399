#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <iostream>

#include "outputs.h"
#include "picture_requests.h"
#include "rahf/core/io/csv.h"
#include "rahf/core/progress.h"
#include "rahf/core/utf8.h"
#include "rahf/reward/model/registry.h"
#include "rahf/reward/report/prediction_folder.h"
#include "verbs.h"

namespace rahf::program {
namespace {

namespace fs = std::filesystem;

struct PredictVerbOptions {
  std::string model;
  std::string prompt;
  std::string prompts;
  std::string out;
  std::int64_t batch = 8;
  double threshold = 0.5;
  std::int64_t max_pixels = io::kMaxPixels;
  std::string device = "cpu";

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("model", self.model, "folder of the reward");
    visit("prompt", self.prompt, "what every picture was asked to show");
    visit("prompts", self.prompts,
          "CSV file with columns 'file' (from the CSV's folder) and 'prompt'; without PICTURE "
          "arguments all its files are judged");
    visit("out", self.out, "folder to write into");
    visit("batch", self.batch, "pictures judged together; > 0");
    visit("threshold", self.threshold,
          "probability from which a word is struck out, and heat from which a place is outlined; "
          "in [0, 1]");
    visit("max_pixels", self.max_pixels, "most pixels of a picture; in [1, 2^28]");
    visit("device", self.device, "cpu, cuda or cuda:N");
  }
  void validate() const {
    require_range("max-pixels", max_pixels, 1, io::kMostPixels);
    if (batch <= 0) throw UsageError("--batch must be > 0");
    if (!(threshold >= 0 && threshold <= 1)) throw UsageError("--threshold must be in [0, 1]");
  }
};

// One line per picture: its scores, and its prompt with the missed words between tildes.
void print_table(const io::Csv& csv, const std::vector<std::string>& score_names) {
  const auto picture = csv.column("picture"), prompt = csv.column("marked_prompt");
  const auto name = [&](const auto& row) {
    return printable(fs::path(row[picture]).filename().string());
  };
  std::size_t longest = 7;
  for (const auto& row : csv.rows) longest = std::max(longest, name(row).size());
  const auto padded = [&](const std::string& text) {
    return text + std::string(longest - text.size(), ' ');
  };
  std::cout << padded("picture");
  for (const auto& score : score_names) std::cout << "  " << score;
  std::cout << "  prompt (~missed~)\n" << std::fixed << std::setprecision(3);
  for (const auto& row : csv.rows) {
    std::cout << padded(name(row));
    for (const auto& score : score_names) {
      std::cout << std::setw(static_cast<int>(score.size()) + 2)
                << std::stod(row[csv.column(score)]);
    }
    std::cout << "  " << printable(row[prompt]) << '\n';
  }
}

}  // namespace

int run_predict(const std::vector<std::string>& arguments) {
  PredictVerbOptions options;
  CommonOptions common;
  const CommandLine command{
      .usage = "rahf predict --model DIR PICTURE... --prompt TEXT | --prompts FILE.csv --out DIR",
      .summary =
          "Judges pictures: scores, heatmaps and missed words. A PICTURE may be a folder of them.\n"
          "For each picture NAME writes NAME.implausibility.png, NAME.misalignment.png (grey "
          "maps)\n"
          "and NAME.heat.png (picture under both maps) of the picture's own size, and\n"
          "NAME.overlay.png with prompt and scores; for all, predictions.json and "
          "predictions.csv.\n"
          "A picture that cannot be read is named and left out, and the exit status is then 1.",
      .options = verb_fields(options, common),
      .positional = "PICTURE"};
  CommandLine::Parsed parsed;
  if (parse_verb(command, arguments, common, parsed, [&] { options.validate(); })) return 0;
  require_option("model", options.model);
  require_option("out", options.out);
  const std::filesystem::path out(options.out);
  check_output(out / "predictions.json", {options.prompts},
               [](const std::string& text) { return text.starts_with("{\"threshold\": "); });
  check_output(out / "predictions.csv", {options.prompts},
               [](const std::string& text) { return text.starts_with("picture,prompt,"); });
  const auto device = device_option(options.device);
  const auto prompt = parsed.was_given("prompt") ? std::optional(options.prompt) : std::nullopt;
  const auto requests = collect_requests(prompt, options.prompts, parsed.arguments);

  const auto model = reward::load_reward(options.model, device);
  reward::PredictionFolder folder(options.out, requests, model->score_names(), options.threshold);
  Progress progress("pictures", std::ssize(requests));
  auto skipped = reward::predict_pictures(
      *model, requests, {.batch = options.batch, .max_pixels = options.max_pixels},
      [&](const std::vector<reward::Prediction>& predictions) {
        folder.add(predictions);
        progress.set(static_cast<std::int64_t>(predictions.back().index) + 1);
      });
  progress.set(std::ssize(requests));
  progress.finish();
  skipped = folder.finish(std::move(skipped));

  if (common.json) {
    std::cout << folder.json();
  } else {
    print_table(io::parse_csv(folder.csv(), "predictions.csv"), model->score_names());
  }
  for (const auto& [index, picture, reason] : skipped) {
    std::cerr << "rahf predict: skipped " << printable(picture.string()) << ": "
              << printable(reason) << '\n';
  }
  std::cerr << requests.size() - skipped.size() << " of " << requests.size() << " pictures judged, "
            << skipped.size() << " skipped; written to " << options.out << '\n';
  return skipped.empty() ? 0 : 1;
}

}  // namespace rahf::program
