#include "rahf/reward/dataset.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "rahf/core/io/image_file.h"

namespace rahf::reward {
namespace {

constexpr const char* kFormat = "rahf-dataset";
constexpr std::int64_t kFormatVersion = 1;
/// Attribute of a file that counts its complete rows.
constexpr const char* kRows = "rows";
constexpr std::array<const char*, 10> kTables = {
    "image",          "prompt",       "picture",          "size",        "scores",
    "implausibility", "misalignment", "misaligned_words", "annotations", "split"};

/// Reads every row of a partial file, as a file that a killed program left may be damaged.
void read_all(const io::Hdf5File& file, std::int64_t rows) {
  constexpr std::int64_t kBlock = 64;
  for (std::int64_t begin = 0; begin < rows; begin += kBlock) {
    const auto end = std::min(rows, begin + kBlock);
    for (const char* name : {"image", "prompt", "annotations"}) file.read_strings(name, begin, end);
    for (const char* name : {"picture", "misaligned_words"}) file.read_bytes(name, begin, end);
    for (const char* name : {"size", "scores", "implausibility", "misalignment", "split"}) {
      file.read(name, begin, end);
    }
  }
}

template <class Column>
auto column(std::span<const DatasetRow> rows, const Column& get) {
  std::vector<std::decay_t<decltype(get(rows[0]))>> values;
  values.reserve(rows.size());
  for (const auto& row : rows) values.push_back(get(row));
  return values;
}

}  // namespace

DatasetWriter::DatasetWriter(std::filesystem::path file, std::int64_t map_size,
                             const Attributes& attributes)
    : file_(std::move(file)), partial_(file_.string() + ".partial"), map_size_(map_size) {
  if (open_partial(attributes)) return;
  hdf5_.reset();
  create_partial(attributes);
}

bool DatasetWriter::open_partial(const Attributes& attributes) {
  if (!std::filesystem::exists(partial_)) return false;
  try {
    hdf5_ = std::make_unique<io::Hdf5File>(partial_, io::Hdf5File::Mode::kAppend);
    for (const auto& [key, value] : attributes) {
      if (hdf5_->string_attribute("/", key) != value) return false;
    }
    if (hdf5_->int_attribute("/", "map_size") != map_size_) return false;
    size_ = hdf5_->int_attribute("/", kRows);
    for (const char* table : kTables) hdf5_->truncate(table, size_);
    read_all(*hdf5_, size_);
    return true;
  } catch (const FileError&) {
    size_ = 0;
    return false;
  }
}

void DatasetWriter::create_partial(const Attributes& attributes) {
  if (partial_.has_parent_path()) std::filesystem::create_directories(partial_.parent_path());
  hdf5_ = std::make_unique<io::Hdf5File>(partial_, io::Hdf5File::Mode::kCreate);
  constexpr std::int64_t kNumbersPerChunk = 1024;
  // A map is read alone, at random: chunks hold one, or as many as fill a page.
  const auto maps_per_chunk = std::max<std::int64_t>(1, 4096 / (map_size_ * map_size_));
  for (const char* name : {"image", "prompt", "annotations"}) hdf5_->create_strings(name);
  for (const char* name : {"picture", "misaligned_words"}) hdf5_->create_bytes(name);
  hdf5_->create_array("size", torch::kInt, {2}, kNumbersPerChunk);
  hdf5_->create_array("scores", torch::kFloat, {kScoreNames.size()}, kNumbersPerChunk);
  hdf5_->create_array("split", torch::kByte, {}, kNumbersPerChunk);
  for (const auto name : kMapNames) {
    hdf5_->create_array(std::string(name), torch::kByte, {map_size_, map_size_}, maps_per_chunk);
    hdf5_->set_attribute(std::string(name), "unit",
                         std::string("255 x share of annotators who marked the place"));
  }
  hdf5_->set_attribute("size", "unit", std::string("height and width, pixels"));
  hdf5_->set_attribute("scores", "columns",
                       std::string("plausibility, alignment, aesthetics, overall"));
  hdf5_->set_attribute("scores", "unit", std::string("mean of (s - 1) / 4; higher is better"));
  hdf5_->set_attribute("misaligned_words", "unit", std::string("1 where the majority marked it"));
  hdf5_->set_attribute("split", "unit", std::string("0 train, 1 dev, 2 test"));
  for (const auto& [key, value] : attributes) hdf5_->set_attribute("/", key, value);
  hdf5_->set_attribute("/", "format", std::string(kFormat));
  hdf5_->set_attribute("/", "format_version", kFormatVersion);
  hdf5_->set_attribute("/", "writer", std::string("rahf " RAHF_VERSION));
  hdf5_->set_attribute("/", "map_size", map_size_);
  hdf5_->set_attribute("/", kRows, std::int64_t{0});
  hdf5_->flush();
}

void DatasetWriter::append(std::span<const DatasetRow> rows) {
  if (rows.empty()) return;
  const auto count = std::ssize(rows);
  auto sizes = torch::empty({count, 2}, torch::kInt);
  auto scores = torch::empty({count, static_cast<std::int64_t>(kScoreNames.size())});
  auto splits = torch::empty({count}, torch::kByte);
  std::vector<torch::Tensor> implausibility, misalignment;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto& row = rows[i];
    sizes.data_ptr<int>()[2 * i] = static_cast<int>(row.height);
    sizes.data_ptr<int>()[2 * i + 1] = static_cast<int>(row.width);
    std::copy(row.scores.begin(), row.scores.end(),
              scores.data_ptr<float>() + i * std::ssize(row.scores));
    splits.data_ptr<std::uint8_t>()[i] = static_cast<std::uint8_t>(row.split);
    implausibility.push_back(row.implausibility);
    misalignment.push_back(row.misalignment);
  }
  hdf5_->append("image", column(rows, [](const auto& row) { return row.image; }));
  hdf5_->append("prompt", column(rows, [](const auto& row) { return row.prompt; }));
  hdf5_->append("picture", column(rows, [](const auto& row) { return row.picture; }));
  hdf5_->append("misaligned_words",
                column(rows, [](const auto& row) { return row.misaligned_words; }));
  hdf5_->append("annotations",
                column(rows, [](const auto& row) { return write_annotations(row.annotations); }));
  hdf5_->append("size", sizes);
  hdf5_->append("scores", scores);
  hdf5_->append("split", splits);
  hdf5_->append("implausibility", torch::stack(implausibility));
  hdf5_->append("misalignment", torch::stack(misalignment));
  // The rows reach the file before the number that says so.
  hdf5_->flush();
  size_ += count;
  hdf5_->set_attribute("/", kRows, size_);
  hdf5_->flush();
}

void DatasetWriter::finish() {
  hdf5_.reset();
  std::error_code error;
  std::filesystem::rename(partial_, file_, error);
  if (error) {
    throw FileError(file_.string() + ": cannot be given its name: " + error.message());
  }
}

Dataset::Dataset(const std::vector<std::filesystem::path>& files) {
  if (files.empty()) throw FileError("a dataset needs one file at least, got none");
  for (const auto& file : files) load(file);
}

void Dataset::load(const std::filesystem::path& path) {
  const io::Hdf5File& file = files_.emplace_back(path, io::Hdf5File::Mode::kRead);
  const auto where = path.string() + ": ";
  if (!file.has_attribute("/", "format") || file.string_attribute("/", "format") != kFormat) {
    throw FileError(where + "must be a dataset that 'rahf dataset' wrote");
  }
  if (const auto version = file.int_attribute("/", "format_version"); version != kFormatVersion) {
    throw FileError(where + "format_version must be " + std::to_string(kFormatVersion) + ", got " +
                    std::to_string(version));
  }
  const auto count = file.int_attribute("/", kRows);
  for (const char* table : kTables) {
    if (file.rows(table) != count) {
      throw FileError(where + "table '" + table + "' must have " + std::to_string(count) +
                      " rows, got " + std::to_string(file.rows(table)));
    }
  }
  const auto images = file.read_strings("image", 0, count);
  const auto prompts = file.read_strings("prompt", 0, count);
  const auto words = file.read_bytes("misaligned_words", 0, count);
  const auto scores = file.read("scores", 0, count);
  const auto sizes = file.read("size", 0, count);
  const auto splits = file.read("split", 0, count);
  if (scores.dtype() != torch::kFloat || scores.numel() != count * std::ssize(kScoreNames) ||
      sizes.dtype() != torch::kInt || sizes.numel() != count * 2 ||
      splits.dtype() != torch::kByte || splits.numel() != count) {
    throw FileError(where + "tables must be scores [N, 4] f32, size [N, 2] i32, split [N] u8");
  }
  rows_.reserve(rows_.size() + count);
  for (std::int64_t i = 0; i < count; ++i) {
    auto& row = rows_.emplace_back();
    row.image = images[i];
    row.prompt = prompts[i];
    row.misaligned_words = words[i];
    std::copy_n(scores.const_data_ptr<float>() + i * std::ssize(row.scores), row.scores.size(),
                row.scores.begin());
    std::copy_n(sizes.const_data_ptr<int>() + i * 2, 2, row.size.begin());
    row.split = static_cast<Split>(splits.const_data_ptr<std::uint8_t>()[i]);
    row.file = std::ssize(files_) - 1;
    row.index = i;
  }
}

const Dataset::Row& Dataset::row(std::int64_t i) const {
  TORCH_CHECK_INDEX(i >= 0 && i < size(), "Dataset: row must be below ", size(), ", got ", i);
  return rows_[i];
}

Sample Dataset::at(std::int64_t i) const {
  const auto& row = this->row(i);
  return {.image = row.image,
          .picture = io::decode_image(picture(i), row.image),
          .prompt = row.prompt,
          .scores = row.scores,
          .implausibility = map(0, i),
          .misalignment = map(1, i),
          .misaligned_words = row.misaligned_words};
}

std::vector<std::uint8_t> Dataset::picture(std::int64_t i) const {
  const auto& row = this->row(i);
  return std::move(files_[row.file].read_bytes("picture", row.index, row.index + 1)[0]);
}

torch::Tensor Dataset::map(std::size_t which, std::int64_t i) const {
  const auto& row = this->row(i);
  const std::string name(kMapNames.at(which));
  return files_[row.file].read(name, row.index, row.index + 1)[0];
}

std::vector<Annotation> Dataset::annotations(std::int64_t i) const {
  const auto& row = this->row(i);
  const auto json = files_[row.file].read_strings("annotations", row.index, row.index + 1)[0];
  return parse_annotations(json, row.image, row.prompt);
}

std::vector<std::int64_t> Dataset::indices(std::string_view split) const {
  const auto found = std::find(kSplitNames.begin(), kSplitNames.end(), split);
  const bool all = split == "all";
  if (!all && found == kSplitNames.end()) {
    throw ConfigError("split must be train, dev, test or all, got '" + std::string(split) + "'");
  }
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < size(); ++i) {
    if (all || static_cast<std::ptrdiff_t>(row(i).split) == found - kSplitNames.begin()) {
      chosen.push_back(i);
    }
  }
  return chosen;
}

}  // namespace rahf::reward
