#include "rahf/reward/data/dataset.h"

#include <c10/util/StringUtil.h>

#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <sstream>
#include <system_error>

#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/progress.h"
#include "rahf/core/words.h"

namespace rahf::reward {
namespace {

constexpr const char* kFormat = "rahf-dataset";
constexpr std::int64_t kFormatVersion = 2;

// The tables of a file, by kind.
constexpr std::array kStrings = {"image", "prompt", "annotations"};
constexpr std::array kBytes = {"picture", "misaligned_words"};
constexpr std::array kArrays = {"size", "scores", "implausibility", "misalignment", "split"};

std::int64_t count_rows(const io::Hdf5File& file, const std::string& name) {
  const auto count = file.rows("image");
  const auto check = [&](const char* table) {
    if (file.rows(table) == count) return;
    throw FileError(name + ": table '" + table + "' must have " + std::to_string(count) +
                    " rows, got " + std::to_string(file.rows(table)));
  };
  for (const auto* table : kStrings) check(table);
  for (const auto* table : kBytes) check(table);
  for (const auto* table : kArrays) check(table);
  return count;
}

/// Every array has the type and the row that it must have.
void check_tables(const io::Hdf5File& file, const std::string& where) {
  const auto side = file.int_attribute("/", "map_size");
  struct Array {
    std::string name;
    torch::Dtype dtype;
    std::vector<std::int64_t> row;
  };
  std::vector<Array> arrays = {{"size", torch::kInt, {2}},
                               {"scores", torch::kFloat, {std::ssize(kScoreNames)}},
                               {"split", torch::kByte, {}}};
  for (const auto name : kMapNames)
    arrays.push_back({std::string(name), torch::kByte, {side, side}});
  for (const auto& [name, dtype, row] : arrays) {
    const auto got = file.row_shape(name);
    if (file.dtype(name) == dtype && got == row) continue;
    throw FileError(c10::str(where, "table '", name, "' must have rows of ", at::IntArrayRef(row),
                             ' ', dtype, ", got ", at::IntArrayRef(got), ' ', file.dtype(name)));
  }
}

/// Adds all rows of one file to another.
void copy_rows(const io::Hdf5File& from, io::Hdf5File& to, std::int64_t count) {
  for (const auto* table : kStrings) to.append(table, from.read_strings(table, 0, count));
  for (const auto* table : kBytes) to.append(table, from.read_bytes(table, 0, count));
  for (const auto* table : kArrays) to.append(table, from.read(table, 0, count));
}

/// A file just written is opened again and counted.
void require_rows(const std::filesystem::path& path, std::int64_t rows) {
  const io::Hdf5File file(path, io::Hdf5File::Mode::kRead);
  if (const auto found = count_rows(file, path.string()); found != rows) {
    throw FileError(path.string() + ": must hold the " + std::to_string(rows) +
                    " rows just written, got " + std::to_string(found));
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
                             Attributes attributes)
    : file_(std::move(file)),
      partial_(file_.string() + ".partial"),
      map_size_(map_size),
      attributes_(std::move(attributes)) {
  while (const auto count = count_part(part_file(size_))) {
    parts_.push_back(part_file(size_));
    size_ += count;
  }
  if (parts_.empty()) std::filesystem::remove_all(partial_);
}

std::filesystem::path DatasetWriter::part_file(std::int64_t begin) const {
  std::ostringstream name;
  name << std::setw(9) << std::setfill('0') << begin << ".h5";
  return partial_ / name.str();
}

/// Rows of a part that fits; 0 if there is none or it is of no use.
std::int64_t DatasetWriter::count_part(const std::filesystem::path& part) const {
  if (!std::filesystem::exists(part)) return 0;
  try {
    const io::Hdf5File file(part, io::Hdf5File::Mode::kRead);
    for (const auto& [key, value] : attributes_) {
      if (file.string_attribute("/", key) != value) return 0;
    }
    if (file.int_attribute("/", "map_size") != map_size_) return 0;
    return count_rows(file, part.string());
  } catch (const FileError&) {
    return 0;
  }
}

io::Hdf5File DatasetWriter::create(const std::filesystem::path& path) const {
  io::Hdf5File file(path, io::Hdf5File::Mode::kCreate);
  constexpr std::int64_t kNumbersPerChunk = 1024;
  // A map is read alone, at random: chunks hold one, or as many as fill a page.
  const auto maps_per_chunk = std::max<std::int64_t>(1, 4096 / (map_size_ * map_size_));
  for (const auto* name : kStrings) file.create_strings(name);
  for (const auto* name : kBytes) file.create_bytes(name);
  file.create_array("size", torch::kInt, {2}, kNumbersPerChunk);
  file.create_array("scores", torch::kFloat, {kScoreNames.size()}, kNumbersPerChunk);
  file.create_array("split", torch::kByte, {}, kNumbersPerChunk);
  for (const auto name : kMapNames) {
    file.create_array(std::string(name), torch::kByte, {map_size_, map_size_}, maps_per_chunk);
    file.set_attribute(std::string(name), "unit",
                       std::string("255 x share of annotators who marked the place"));
  }
  file.set_attribute("size", "unit", std::string("height and width, pixels"));
  file.set_attribute("scores", "columns",
                     std::string("plausibility, alignment, aesthetics, overall"));
  file.set_attribute("scores", "unit", std::string("mean of (s - 1) / 4; higher is better"));
  file.set_attribute("misaligned_words", "unit", std::string("1 where the majority marked it"));
  file.set_attribute("split", "unit", std::string("0 train, 1 dev, 2 test"));
  for (const auto& [key, value] : attributes_) file.set_attribute("/", key, value);
  file.set_attribute("/", "format", std::string(kFormat));
  file.set_attribute("/", "format_version", kFormatVersion);
  file.set_attribute("/", "writer", std::string("rahf " RAHF_VERSION));
  file.set_attribute("/", "map_size", map_size_);
  return file;
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
  const auto part = part_file(size_);
  io::replace_atomically(part, [&](const std::filesystem::path& path) {
    auto file = create(path);
    file.append("image", column(rows, [](const auto& row) { return row.image; }));
    file.append("prompt", column(rows, [](const auto& row) { return row.prompt; }));
    file.append("picture", column(rows, [](const auto& row) { return row.picture; }));
    file.append("misaligned_words",
                column(rows, [](const auto& row) { return row.misaligned_words; }));
    file.append("annotations",
                column(rows, [](const auto& row) { return write_annotations(row.annotations); }));
    file.append("size", sizes);
    file.append("scores", scores);
    file.append("split", splits);
    file.append("implausibility", torch::stack(implausibility));
    file.append("misalignment", torch::stack(misalignment));
    file.close();
    require_rows(path, count);
  });
  parts_.push_back(part);
  size_ += count;
}

void DatasetWriter::finish() {
  // Made in the folder that goes away, whatever happens.
  const auto joined = partial_ / "whole.h5";
  io::replace_atomically(joined, [&](const std::filesystem::path& path) {
    auto whole = create(path);
    Progress progress("pictures joined", size_);
    for (const auto& part : parts_) {
      const io::Hdf5File file(part, io::Hdf5File::Mode::kRead);
      const auto count = count_rows(file, part.string());
      copy_rows(file, whole, count);
      progress.add(count);
    }
    whole.close();
    require_rows(path, size_);  // before the parts go away
  });
  std::error_code error;
  std::filesystem::rename(joined, file_, error);
  if (error) {
    throw FileError(file_.string() + ": cannot be given its name: " + error.message());
  }
  std::filesystem::remove_all(partial_);
}

Dataset::Dataset(const std::vector<std::filesystem::path>& files) {
  if (files.empty()) throw FileError("a dataset needs one file at least, got none");
  for (const auto& file : files) load(file);
}

void Dataset::load(const std::filesystem::path& path) {
  const io::Hdf5File& file = files_.emplace_back(path, io::Hdf5File::Mode::kRead);
  const auto where = path.string() + ": ";
  const auto require_kind = [&](bool ok) {
    if (!ok) throw FileError(where + "must be a dataset that 'rahf dataset' wrote");
  };
  require_kind(file.has_attribute("/", "format") && file.has_attribute("/", "format_version"));
  // Before anything else, whose layout depends on it.
  if (const auto version = file.int_attribute("/", "format_version"); version != kFormatVersion) {
    throw FileError(where + "format_version must be " + std::to_string(kFormatVersion) + ", got " +
                    std::to_string(version) + " (make it again with 'rahf dataset')");
  }
  require_kind(file.string_attribute("/", "format") == kFormat);
  const auto count = count_rows(file, path.string());
  check_tables(file, where);
  const auto images = file.read_strings("image", 0, count);
  const auto prompts = file.read_strings("prompt", 0, count);
  const auto words = file.read_bytes("misaligned_words", 0, count);
  const auto scores = file.read("scores", 0, count);
  const auto sizes = file.read("size", 0, count);
  const auto splits = file.read("split", 0, count);
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
    check_row(row, where + "row " + std::to_string(i) + " ('" + row.image + "'): ");
  }
}

void Dataset::check_row(const Row& row, const std::string& where) {
  const auto refuse = [&](const std::string& what) { throw FileError(where + what); };
  for (std::size_t k = 0; k < row.scores.size(); ++k) {
    const auto score = row.scores[k];
    if (!(score >= 0 && score <= 1)) {
      refuse(c10::str("scores must be in [0, 1], got ", score, " of ", kScoreNames[k]));
    }
  }
  const auto [height, width] = row.size;
  if (height <= 0 || width <= 0) {
    refuse(c10::str("size must be > 0, got ", height, " x ", width));
  }
  if (const auto split = static_cast<std::size_t>(row.split); split >= kSplitNames.size()) {
    refuse(c10::str("split must be below ", kSplitNames.size(), ", got ", split));
  }
  const auto words = split_words(row.prompt).size();
  if (row.misaligned_words.size() != words) {
    refuse(c10::str("misaligned_words must be one flag per word of the prompt, ", words, ", got ",
                    row.misaligned_words.size()));
  }
  for (const auto flag : row.misaligned_words) {
    if (flag > 1) refuse(c10::str("misaligned_words must be 0 or 1, got ", int{flag}));
  }
}

const Dataset::Row& Dataset::row(std::int64_t i) const {
  TORCH_CHECK_INDEX(i >= 0 && i < size(), "Dataset: row must be below ", size(), ", got ", i);
  return rows_[i];
}

Sample Dataset::at(std::int64_t i) const {
  const auto& row = this->row(i);
  auto decoded = io::decode_image(picture(i), row.image, io::kMostPixels);
  if (decoded.height != row.size[0] || decoded.width != row.size[1]) {
    throw FileError(c10::str(row.image, ": the picture must be ", row.size[0], " x ", row.size[1],
                             " as table 'size' says, got ", decoded.height, " x ", decoded.width));
  }
  return {.image = row.image,
          .picture = std::move(decoded),
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
