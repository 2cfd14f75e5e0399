#include <algorithm>
#include <array>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "contact_sheet.h"
#include "inspector_trial.h"
#include "outputs.h"
#include "picture_requests.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/progress.h"
#include "rahf/core/words.h"
#include "rahf/reward/report/overlay.h"
#include "verbs.h"

namespace rahf::program {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using reward::PictureRequest;
using world::Inspection;

struct InspectVerbOptions {
  std::string prompt;
  std::string prompts;
  std::string out;
  bool self_test = false;
  std::string contact_sheet;
  std::int64_t count = 0;
  std::uint64_t seed = 5;
  std::int64_t max_pixels = io::kMaxPixels;
  world::InspectorOptions inspector;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit("prompt", self.prompt, "what every picture was asked to show");
    visit("prompts", self.prompts,
          "CSV file with columns 'file' (from the CSV's folder) and 'prompt'; without PICTURE "
          "arguments all its files are inspected");
    visit("out", self.out, "folder for overlays, maps and inspection.json; none without it");
    visit("self_test", self.self_test,
          "instead: tries the inspector on pictures of which all is known, and prints its figures");
    visit("contact_sheet", self.contact_sheet,
          "instead: a picture file to fill with closed-world pictures and what is seen in them");
    visit("count", self.count,
          "pictures of the self-test (of each kind) or on the sheet; 0: 500 and 16; >= 0");
    visit("seed", self.seed, "of the self-test's or the sheet's pictures; >= 0");
    visit("max_pixels", self.max_pixels, "most pixels of a picture; in [1, 2^28]");
    world::InspectorOptions::fields(self.inspector, visit);
  }
  void validate() const {
    require_range("max-pixels", max_pixels, 1, io::kMostPixels);
    if (count < 0) throw UsageError("--count must be >= 0");
    if (self_test && !contact_sheet.empty()) {
      throw UsageError("--self-test and --contact-sheet cannot go together");
    }
    inspector.validate();
  }
};

// One inspector for every size at which pictures are looked at.
class Inspectors {
 public:
  // `own_sides`: square pictures of 32 to 256 pixels are looked at as they are.
  Inspectors(const world::InspectorOptions& options, bool own_sides)
      : options_(options), own_sides_(own_sides) {}

  const world::Inspector& for_picture(const Image& image) {
    auto options = options_;
    if (own_sides_ && image.height == image.width && image.height >= 32 && image.height <= 256) {
      options.side = image.height;
    }
    const auto found = inspectors_.find(options.side);
    if (found != inspectors_.end()) return found->second;
    return inspectors_.emplace(options.side, world::Inspector(options)).first->second;
  }

 private:
  world::InspectorOptions options_;
  bool own_sides_;
  std::map<std::int64_t, world::Inspector> inspectors_;
};

const char* text_of(world::Relation relation) {
  constexpr std::array kTexts = {"above", "below", "left of", "right of"};
  return kTexts[static_cast<std::size_t>(relation)];
}

Json to_json(const world::Group& group) {
  return {{"count", group.count},
          {"size", group.size == world::Size::kSmall ? "small" : "large"},
          {"colour", name(group.colour)},
          {"shape", name(group.shape)}};
}

Json to_json(const PictureRequest& request, const Inspection& seen) {
  auto groups = Json::array(), objects = Json::array(), relations = Json::array();
  for (const auto& group : seen.groups) groups.push_back(to_json(group));
  for (const auto& object : seen.objects) {
    auto one = to_json({1, object.object.size, object.object.colour, object.object.shape});
    one.erase("count");
    one["x"] = object.object.x;
    one["y"] = object.object.y;
    one["form"] = object.form;
    one["blob"] = !object.drawn;
    objects.push_back(std::move(one));
  }
  for (const auto relation : seen.relations) relations.push_back(text_of(relation));
  Json result = {{"picture", request.picture.string()},
                 {"prompt", request.prompt},
                 {"plausibility", seen.plausibility},
                 {"alignment", nullptr},
                 {"scene",
                  {{"caption", seen.caption},
                   {"groups", std::move(groups)},
                   {"relations", std::move(relations)},
                   {"background", seen.background},
                   {"objects", std::move(objects)}}},
                 {"words", nullptr}};
  if (!seen.alignment) {
    result["note"] = "the prompt is no caption of the closed world's grammar";
    return result;
  }
  result["alignment"] = seen.alignment->score;
  auto words = Json::array();
  const auto texts = split_words(request.prompt);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const double misaligned = seen.alignment->words[i];
    const auto error =
        misaligned > world::kMisalignedAbove ? seen.alignment->errors[i] : world::WordError::kNone;
    words.push_back({{"word", texts[i]}, {"misaligned", misaligned}, {"error", name(error)}});
  }
  result["words"] = std::move(words);
  return result;
}

// What is seen, as overlay() takes it.
reward::Prediction to_prediction(const PictureRequest& request, Image image,
                                 const Inspection& seen) {
  reward::Prediction prediction;
  prediction.picture = std::move(image);
  prediction.prompt = request.prompt;
  prediction.scores = {seen.plausibility};
  prediction.implausibility = seen.implausibility;
  if (!seen.alignment) return prediction;
  prediction.scores.push_back(seen.alignment->score);
  prediction.misalignment = seen.alignment->misalignment;
  prediction.words = split_words(request.prompt);
  prediction.word_misaligned = seen.alignment->words;
  return prediction;
}

// Writes what is seen in one picture; `taken` are the names used so far.
void write_files(const fs::path& folder, const PictureRequest& request, Image image,
                 const Inspection& seen, std::set<std::string>& taken) {
  const auto stem = request.picture.stem().string();
  auto name = stem;
  for (int i = 2; !taken.insert(name).second; ++i) name = stem + '-' + std::to_string(i);
  io::write_image(folder / (name + ".implausibility.png"), reward::grey_map(seen.implausibility));
  if (seen.alignment) {
    io::write_image(folder / (name + ".misalignment.png"),
                    reward::grey_map(seen.alignment->misalignment));
  }
  io::write_image(folder / (name + ".overlay.png"),
                  reward::overlay(to_prediction(request, std::move(image), seen),
                                  {"plausibility", "alignment"}, world::kMisalignedAbove));
}

void print_line(const Json& result) {
  std::cout << fs::path(result["picture"].get<std::string>()).filename().string() << std::fixed
            << std::setprecision(3) << "  plausibility " << result["plausibility"].get<double>()
            << "  alignment ";
  if (result["alignment"].is_null()) {
    std::cout << "n/a (no caption of the grammar)";
  } else {
    std::cout << result["alignment"].get<double>();
  }
  std::cout << "  sees: " << result["scene"]["caption"].get<std::string>();
  const char* separator = "  misaligned: ";
  for (const auto& word : result["words"]) {
    if (word["error"] == "none") continue;
    std::cout << separator << word["word"].get<std::string>();
    separator = ", ";
  }
  std::cout << '\n';
}

int inspect_pictures(const InspectVerbOptions& options, const std::vector<PictureRequest>& requests,
                     Inspectors& inspectors, bool json) {
  constexpr std::size_t kTogether = 64;
  auto results = Json::array(), skipped = Json::array();
  std::set<std::string> names;
  if (!options.out.empty()) fs::create_directories(options.out);
  Progress progress("pictures", std::ssize(requests));
  for (std::size_t first = 0; first < requests.size(); first += kTogether) {
    const auto last = std::min(requests.size(), first + kTogether);
    std::vector<std::size_t> indices;
    std::vector<Image> images;
    std::vector<const world::Inspector*> judges;
    for (auto i = first; i < last; ++i) {
      try {
        images.push_back(io::read_image(requests[i].picture, options.max_pixels));
        judges.push_back(&inspectors.for_picture(images.back()));
        indices.push_back(i);
      } catch (const FileError& error) {
        skipped.push_back({{"picture", requests[i].picture.string()}, {"reason", error.what()}});
        std::cerr << "rahf inspect: skipped " << error.what() << '\n';
      }
    }
    std::vector<Inspection> seen(images.size());
#pragma omp parallel for schedule(dynamic)
    for (std::size_t k = 0; k < images.size(); ++k) {
      seen[k] = judges[k]->inspect(images[k], requests[indices[k]].prompt);
    }
    for (std::size_t k = 0; k < images.size(); ++k) {
      const auto& request = requests[indices[k]];
      results.push_back(to_json(request, seen[k]));
      if (!json) print_line(results.back());
      if (!options.out.empty()) {
        write_files(options.out, request, std::move(images[k]), seen[k], names);
      }
    }
    progress.set(static_cast<std::int64_t>(last));
  }
  progress.finish();
  const Json all = {{"pictures", results}, {"skipped", skipped}};
  const auto text = all.dump(2, ' ', false, Json::error_handler_t::replace);
  if (json) std::cout << text << '\n';
  if (!options.out.empty()) {
    io::write_atomically(fs::path(options.out) / "inspection.json", text + '\n');
  }
  return skipped.empty() ? 0 : 1;
}

int self_test(const InspectVerbOptions& options, bool json) {
  const world::Inspector inspector(options.inspector);
  const auto figures = try_inspector(inspector, options.count ? options.count : 500, options.seed);
  auto result = Json::object();
  for (const auto& one : figures) {
    result[one.name] = {{"value", one.value}, {"count", one.count}};
    if (!one.requirement.empty()) result[one.name]["required"] = one.requirement;
    if (json) continue;
    std::cout << std::left << std::setw(34) << one.name << std::right << std::fixed
              << std::setprecision(4) << std::setw(8) << one.value << std::setw(8) << one.count
              << (one.requirement.empty() ? "" : "  " + one.requirement)
              << (holds(one) ? "" : "  MISSED") << '\n';
  }
  if (json) std::cout << result.dump(2) << '\n';
  return std::all_of(figures.begin(), figures.end(), holds) ? 0 : 1;
}

int write_sheet(const InspectVerbOptions& options, bool json) {
  const auto count = options.count ? options.count : 16;
  const world::Inspector inspector(options.inspector);
  io::write_image(options.contact_sheet, contact_sheet(inspector, count, options.seed));
  const Json result = {{"out", options.contact_sheet}, {"pictures", count}};
  std::cout << (json ? result.dump() : options.contact_sheet) << '\n';
  return 0;
}

}  // namespace

int run_inspect(const std::vector<std::string>& arguments) {
  InspectVerbOptions options;
  CommonOptions common;
  CommandLine::Parsed parsed;
  const CommandLine command{
      .usage = "rahf inspect PICTURE... --prompt TEXT | --prompts FILE.csv",
      .summary =
          "Says what the closed world's inspector sees in any pictures: plausibility, the scene,\n"
          "and, for prompts that are captions of the closed world, alignment, also word by word.\n"
          "No learned part; the same pictures always get the same figures. Square pictures of 32\n"
          "to 256 pixels are looked at in their own size unless --side is given.\n"
          "With --out writes NAME.implausibility.png, NAME.misalignment.png, NAME.overlay.png and\n"
          "inspection.json. A picture that cannot be read is named and left out, and the exit\n"
          "status is then 1; so it is if --self-test misses a requirement.",
      .options = verb_fields(options, common),
      .positional = "PICTURE"};
  if (parse_verb(command, arguments, common, parsed, [&] { options.validate(); })) return 0;
  if (options.self_test) return self_test(options, common.json);
  if (!options.contact_sheet.empty()) check_output(options.contact_sheet, {}, is_picture);
  if (!options.contact_sheet.empty()) return write_sheet(options, common.json);

  const auto prompt = parsed.was_given("prompt") ? std::optional(options.prompt) : std::nullopt;
  const auto requests = collect_requests(prompt, options.prompts, parsed.arguments);
  if (!options.out.empty()) {
    check_output(fs::path(options.out) / "inspection.json", {options.prompts},
                 [](const std::string& text) { return text.starts_with("{\n  \"pictures\": "); });
  }
  Inspectors inspectors(options.inspector, !parsed.was_given("side"));
  return inspect_pictures(options, requests, inspectors, common.json);
}

}  // namespace rahf::program
