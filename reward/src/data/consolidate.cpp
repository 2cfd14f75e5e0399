#include "rahf/reward/data/consolidate.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <sstream>
#include <unordered_map>

#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/io/resize.h"
#include "rahf/core/progress.h"
#include "rahf/core/words.h"
#include "rahf/reward/data/dataset.h"

namespace rahf::reward {
namespace {

namespace fs = std::filesystem;

/// Records checked together.
constexpr std::int64_t kRecordsPerBlock = 8192;
/// Bytes of maps held at once while writing.
constexpr std::int64_t kMapBytesPerBlock = 32 << 20;

/// Where a good record lies in the annotation file.
struct RecordRef {
  std::int64_t offset;
  std::int64_t bytes;
  std::int64_t line;
  std::size_t annotator;  ///< Hash of the name.
};

/// A picture that the annotation file names, and its good records.
struct Candidate {
  std::string image;
  std::string bad;  ///< Why the picture is of no use, or empty.
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::size_t prompt = 0;  ///< Hash.
  std::vector<RecordRef> records;
};

/// What the first reading of the annotation file found.
struct Plan {
  std::vector<Candidate> pictures;  ///< Only those with records.
  std::vector<Problem> problems;
  std::int64_t records = 0;
  std::int64_t bytes = 0;  ///< Of the annotation file.
  std::uint64_t hash = 0;  ///< Of the annotation file.
};

/// Runs `work(i)` for i in [0, count) on all cores; the first exception goes on to the caller.
void parallel_for(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic, 16)
  for (std::int64_t i = 0; i < count; ++i) {
    try {
      work(i);
    } catch (...) {
#pragma omp critical(rahf_consolidate_failure)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

std::vector<std::uint8_t> read_bytes(const fs::path& path) {
  const auto text = io::read_file(path);
  return {text.begin(), text.end()};
}

/// Decodes the picture once, to know its size and that it can be decoded.
void examine(Candidate& candidate, const fs::path& folder, std::int64_t max_pixels) {
  const fs::path name(candidate.image);
  const auto path = folder / name;
  if (name.is_absolute() || std::find(name.begin(), name.end(), "..") != name.end()) {
    candidate.bad =
        "image must be a path below the folder of pictures, got '" + name.string() + "'";
  } else if (!fs::is_regular_file(path)) {
    candidate.bad = "unknown picture: there is no file " + path.string();
  } else {
    try {
      const auto picture = io::decode_image(read_bytes(path), path.string(), max_pixels);
      candidate.height = picture.height;
      candidate.width = picture.width;
    } catch (const FileError& error) {
      candidate.bad = error.what();
    }
  }
}

/// Reads and checks the whole annotation file and every picture that it names.
Plan examine(const ConsolidateOptions& options) {
  Plan plan;
  auto& pictures = plan.pictures;
  std::unordered_map<std::string, std::size_t> by_name;
  const std::hash<std::string> hash;
  LineReader reader(options.annotations);
  Progress progress("records checked", 0);

  for (auto lines = reader.read(kRecordsPerBlock); !lines.empty();
       lines = reader.read(kRecordsPerBlock)) {
    std::vector<Annotation> annotations(lines.size());
    std::vector<std::string> reasons(lines.size());
    parallel_for(std::ssize(lines), [&](std::int64_t i) {
      try {
        annotations[i] = parse_annotation(lines[i].text);
      } catch (const FileError& error) {
        reasons[i] = error.what();
      }
    });

    const auto first_new = pictures.size();
    std::vector<std::size_t> places(lines.size());
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (!reasons[i].empty()) continue;
      // One picture, however its path is spelt.
      const auto name = fs::path(annotations[i].image).lexically_normal().string();
      const auto [found, is_new] = by_name.try_emplace(name, pictures.size());
      if (is_new) pictures.emplace_back().image = name;
      places[i] = found->second;
    }
    parallel_for(std::ssize(pictures) - static_cast<std::ptrdiff_t>(first_new),
                 [&](std::int64_t i) {
                   examine(pictures[first_new + i], options.pictures, options.max_pixels);
                 });

    for (std::size_t i = 0; i < lines.size(); ++i) {
      const auto& line = lines[i];
      const auto& annotation = annotations[i];
      const auto admit = [&] {
        if (!reasons[i].empty()) throw FileError(reasons[i]);
        auto& picture = pictures[places[i]];
        if (!picture.bad.empty()) throw FileError(picture.bad);
        check_points(annotation, picture.height, picture.width);
        const auto prompt = hash(annotation.prompt);
        const auto annotator = hash(annotation.annotator);
        if (picture.records.empty()) picture.prompt = prompt;
        if (picture.prompt != prompt) {
          throw FileError("the prompt of picture '" + annotation.image + "' must be that of line " +
                          std::to_string(picture.records.front().line) + ", got '" +
                          annotation.prompt + "'");
        }
        for (const auto& record : picture.records) {
          if (record.annotator == annotator) {
            throw FileError("annotator '" + annotation.annotator + "' has judged picture '" +
                            annotation.image + "' already, in line " + std::to_string(record.line));
          }
        }
        picture.records.push_back({line.offset, std::ssize(line.text), line.number, annotator});
        ++plan.records;
      };
      try {
        admit();
      } catch (const FileError& error) {
        plan.problems.push_back({options.annotations, line.number, error.what()});
      }
    }
    progress.add(std::ssize(lines));
  }
  std::erase_if(pictures, [](const Candidate& picture) { return picture.records.empty(); });
  plan.bytes = reader.bytes();
  plan.hash = reader.hash();
  return plan;
}

std::int64_t choose_map_size(const ConsolidateOptions& options,
                             const std::vector<Candidate>& pictures) {
  if (options.map_size > 0) return options.map_size;
  const auto size = pictures.front().height;
  const bool alike = std::all_of(pictures.begin(), pictures.end(), [&](const Candidate& picture) {
    return picture.height == size && picture.width == size;
  });
  constexpr std::int64_t kReleasedSize = 512;  // That of RichHF-18K's heatmaps.
  return alike ? size : kReleasedSize;
}

/// Everything that the dataset's content follows from.
DatasetWriter::Attributes provenance(const ConsolidateOptions& options, const Plan& plan) {
  std::ostringstream hash;
  hash << std::hex << plan.hash;
  return {{"source", fs::path(options.annotations).filename().string()},
          {"source_bytes", std::to_string(plan.bytes)},
          {"source_fnv1a64", hash.str()},
          {"source_records", std::to_string(plan.records)},
          {"source_records_left_out", std::to_string(plan.problems.size())},
          {"pictures", std::to_string(plan.pictures.size())},
          {"pictures_folder", fs::path(options.pictures).lexically_normal().string()},
          {"click_radius", "disk of 1/20 of the picture's height, edge included"},
          {"dev_share", option_text::write(options.dev_share)},
          {"test_share", option_text::write(options.test_share)},
          {"split_seed", option_text::write(options.split_seed)}};
}

/// @param map  [H, W] u8  @return [size, size] u8
torch::Tensor resize_map(const torch::Tensor& map, std::int64_t size) {
  if (map.size(0) == size && map.size(1) == size) return map;
  return io::resize(map.to(torch::kFloat).unsqueeze(0), size, size)[0].round().clamp(0, 255).to(
      torch::kByte);
}

DatasetRow make_row(const Candidate& picture, const std::vector<std::string>& records,
                    std::int64_t map_size, const ConsolidateOptions& options) {
  DatasetRow row;
  for (const auto& record : records) row.annotations.push_back(parse_annotation(record));
  auto feedback = consolidate(row.annotations, picture.height, picture.width);
  row.image = picture.image;
  row.prompt = row.annotations.front().prompt;
  row.picture = read_bytes(fs::path(options.pictures) / picture.image);
  row.height = picture.height;
  row.width = picture.width;
  row.scores = feedback.scores;
  row.implausibility = resize_map(feedback.implausibility, map_size);
  row.misalignment = resize_map(feedback.misalignment, map_size);
  row.misaligned_words = std::move(feedback.misaligned_words);
  row.split = split_of(row.prompt, options.dev_share, options.test_share, options.split_seed);
  return row;
}

/// The text of good records, read again.
class RecordReader {
 public:
  explicit RecordReader(const std::string& file) : file_(file), in_(file, std::ios::binary) {}

  std::vector<std::string> read(const Candidate& picture) {
    std::vector<std::string> texts;
    for (const auto& record : picture.records) {
      if (in_.tellg() != record.offset) in_.seekg(record.offset);
      auto& text = texts.emplace_back(record.bytes, '\0');
      if (!in_.read(text.data(), record.bytes)) {
        throw FileError(file_ + ": line " + std::to_string(record.line) +
                        " cannot be read a second time (was the file changed?)");
      }
    }
    return texts;
  }

 private:
  std::string file_;
  std::ifstream in_;
};

}  // namespace

torch::Tensor annotator_map(const std::vector<Point>& points, std::int64_t height,
                            std::int64_t width) {
  auto map = torch::zeros({height, width}, torch::kByte);
  auto* pixels = map.data_ptr<std::uint8_t>();
  const auto h = static_cast<double>(height);
  // Squared distances are compared in units of (1/20 pixel)^2, where H is a whole number: a pixel
  // on the edge is not lost to rounding.
  constexpr double kUnits = 1 / kClickRadius;
  // Clicks are decimal fractions, which binary ones miss by less than this share.
  const double edge = h * h * (1 + 1e-9);
  const double radius = h * kClickRadius;
  const auto pixel = [](double at, std::int64_t size) {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(at)), 0, size - 1);
  };
  for (const auto& [x, y] : points) {
    const auto right = pixel(x + radius, width);
    const auto bottom = pixel(y + radius, height);
    for (auto i = pixel(y - radius, height); i <= bottom; ++i) {
      for (auto j = pixel(x - radius, width); j <= right; ++j) {
        const double dx = kUnits * (static_cast<double>(j) + 0.5 - x);
        const double dy = kUnits * (static_cast<double>(i) + 0.5 - y);
        if (dx * dx + dy * dy <= edge) pixels[i * width + j] = 1;
      }
    }
    pixels[pixel(y, height) * width + pixel(x, width)] = 1;
  }
  return map;
}

Consolidated consolidate(const std::vector<Annotation>& annotations, std::int64_t height,
                         std::int64_t width) {
  if (annotations.empty()) throw Error("consolidate: one annotation at least is needed, got none");
  const auto count = std::ssize(annotations);
  const auto words = split_words(annotations.front().prompt).size();
  auto implausible = torch::zeros({height, width}, torch::kInt);
  auto misaligned = torch::zeros({height, width}, torch::kInt);
  std::array<std::int64_t, 4> sums = {};
  std::vector<std::int64_t> marks(words, 0);
  for (const auto& annotation : annotations) {
    implausible += annotator_map(annotation.implausible_points, height, width);
    misaligned += annotator_map(annotation.misaligned_points, height, width);
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += annotation.scores[k];
    std::vector<bool> marked(words, false);  // A word may be listed twice.
    for (const auto word : annotation.misaligned_words) marked.at(word) = true;
    for (std::size_t w = 0; w < words; ++w) marks[w] += marked[w];
  }
  const auto mean = [&](const torch::Tensor& marked) {  // round(255 x marked / count), in integers
    return (marked * 510 + count).div(2 * count, "floor").to(torch::kByte);
  };
  Consolidated result;
  result.implausibility = mean(implausible);
  result.misalignment = mean(misaligned);
  for (std::size_t k = 0; k < sums.size(); ++k) {
    result.scores[k] =
        static_cast<float>(static_cast<double>(sums[k] - count) / static_cast<double>(4 * count));
  }
  for (const auto mark : marks) result.misaligned_words.push_back(2 * mark > count);
  return result;
}

void ConsolidateOptions::validate() const {
  const auto require = [](bool ok, const char* what) {
    if (!ok) throw ConfigError(what);
  };
  require(map_size >= 0, "map-size must be >= 0");
  require(dev_share >= 0 && dev_share <= 1, "dev-share must be in [0, 1]");
  require(test_share >= 0 && test_share <= 1, "test-share must be in [0, 1]");
  require(dev_share + test_share <= 1, "dev-share and test-share together must be at most 1");
  require(max_pixels > 0 && max_pixels <= io::kMostPixels, "max-pixels must be in [1, 2^28]");
}

ConsolidateReport consolidate(const ConsolidateOptions& options) {
  options.validate();
  auto plan = examine(options);
  ConsolidateReport report;
  report.problems = std::move(plan.problems);
  if (!report.problems.empty() && !options.skip_bad) return report;
  if (plan.pictures.empty()) {
    throw FileError(options.annotations + ": must hold one good record at least, got none");
  }
  plan.problems.resize(report.problems.size());
  report.map_size = choose_map_size(options, plan.pictures);
  DatasetWriter writer(options.out, report.map_size, provenance(options, plan));
  report.continued_at = writer.size();
  report.pictures = std::ssize(plan.pictures);
  report.records = plan.records;

  const auto block = std::clamp<std::int64_t>(
      kMapBytesPerBlock / (2 * report.map_size * report.map_size), 16, 512);
  RecordReader reader(options.annotations);
  Progress progress("pictures consolidated", report.pictures, writer.size());
  while (writer.size() < report.pictures) {
    const auto begin = writer.size();
    const auto count = std::min(block, report.pictures - begin);
    std::vector<std::vector<std::string>> records;
    for (auto i = begin; i < begin + count; ++i) records.push_back(reader.read(plan.pictures[i]));
    std::vector<DatasetRow> rows(count);
    parallel_for(count, [&](std::int64_t i) {
      rows[i] = make_row(plan.pictures[begin + i], records[i], report.map_size, options);
    });
    writer.append(rows);
    progress.add(count);
  }
  progress.finish();
  writer.finish();
  report.written = true;
  return report;
}

}  // namespace rahf::reward
