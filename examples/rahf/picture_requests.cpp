#include "picture_requests.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>

#include "rahf/core/io/csv.h"
#include "rahf/core/options.h"

namespace rahf::program {
namespace {

namespace fs = std::filesystem;
using reward::PictureRequest;

// The pictures that the arguments name: files as they are, folders as all their pictures by name.
std::vector<fs::path> list_pictures(const std::vector<std::string>& arguments) {
  std::vector<fs::path> pictures;
  for (const fs::path argument : arguments) {
    if (!fs::is_directory(argument)) {
      pictures.push_back(argument);
      continue;
    }
    const auto first = std::ssize(pictures);
    for (const auto& entry : fs::directory_iterator(argument)) {
      auto extension = entry.path().extension().string();
      std::transform(extension.begin(), extension.end(), extension.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      const auto known = {".png", ".jpg", ".jpeg", ".webp"};
      if (std::find(known.begin(), known.end(), extension) != known.end()) {
        pictures.push_back(entry.path());
      }
    }
    if (std::ssize(pictures) == first) {
      throw UsageError(argument.string() + ": the folder holds no .png, .jpg, .jpeg or .webp file");
    }
    std::sort(pictures.begin() + first, pictures.end());
  }
  return pictures;
}

// Prompts from a CSV file, by picture.
class PromptList {
 public:
  explicit PromptList(const fs::path& path) : csv_(io::read_csv(path)) {
    const auto file = csv_.column("file"), prompt = csv_.column("prompt");
    for (std::size_t i = 0; i < csv_.rows.size(); ++i) {
      const auto& row = csv_.rows[i];
      if (row[file].empty()) throw FileError(where(i) + "the row names no file");
      requests_.push_back({path.parent_path() / row[file], row[prompt]});
      by_path_.emplace(fs::weakly_canonical(requests_.back().picture), i);
      by_name_.emplace(fs::path(row[file]).filename(), i);
    }
  }

  const std::vector<PictureRequest>& all() const { return requests_; }

  // A row that names this very file, or else the only one that names a file called so.
  const std::string& prompt_of(const fs::path& picture) const {
    auto [first, last] = by_path_.equal_range(fs::weakly_canonical(picture));
    if (first == last) std::tie(first, last) = by_name_.equal_range(picture.filename());
    if (first == last) {
      throw FileError(csv_.name + ": holds no prompt for " + picture.string());
    }
    const auto& prompt = requests_[first->second].prompt;
    for (auto other = std::next(first); other != last; ++other) {
      if (requests_[other->second].prompt != prompt) {
        throw FileError(where(other->second) + "a second prompt for " + picture.string() +
                        " (the first is in line " + std::to_string(csv_.lines[first->second]) +
                        ")");
      }
    }
    return prompt;
  }

 private:
  std::string where(std::size_t row) const {
    return csv_.name + ":" + std::to_string(csv_.lines[row]) + ": ";
  }

  io::Csv csv_;
  std::vector<PictureRequest> requests_;
  std::multimap<fs::path, std::size_t> by_path_, by_name_;
};

}  // namespace

std::vector<PictureRequest> collect_requests(const std::optional<std::string>& prompt,
                                             const std::string& prompts,
                                             const std::vector<std::string>& arguments) {
  if (prompt.has_value() != prompts.empty()) {
    throw UsageError("either --prompt TEXT or --prompts FILE.csv is required");
  }
  if (prompt && arguments.empty()) throw UsageError("--prompt needs PICTURE arguments");
  std::vector<PictureRequest> requests;
  const auto pictures = list_pictures(arguments);
  if (prompt) {
    for (const auto& picture : pictures) requests.push_back({picture, *prompt});
    return requests;
  }
  const PromptList list(prompts);
  if (arguments.empty()) return list.all();
  for (const auto& picture : pictures) requests.push_back({picture, list.prompt_of(picture)});
  return requests;
}

}  // namespace rahf::program
