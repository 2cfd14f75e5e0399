#include "rahf/reward/data/truth.h"

#include <algorithm>

#include "rahf/core/error.h"

namespace rahf::reward {

TruthFile::TruthFile(const std::filesystem::path& file)
    : name_(file.string()), file_(file, io::Hdf5File::Mode::kRead) {
  const auto images = file_.read_strings("image", 0, file_.rows("image"));
  for (std::size_t i = 0; i < images.size(); ++i) row_of_.emplace(images[i], i);
}

ExactTruth TruthFile::find(const std::string& image, const std::string& prompt) const {
  const auto found = row_of_.find(image);
  if (found == row_of_.end()) {
    throw FileError(name_ + ": must hold the dataset's pictures, but has no '" + image + "'");
  }
  const auto row = found->second;
  const auto text = [&](const char* name) { return file_.read_strings(name, row, row + 1).at(0); };
  const auto map = [&](const char* name) {
    return file_.read(name, row, row + 1)[0].to(torch::kFloat) / 255;
  };
  if (const auto here = text("prompt"); here != prompt) {
    throw FileError(name_ + ": the prompt of '" + image + "' must be the dataset's '" + prompt +
                    "', got '" + here + "' (truth of another dataset?)");
  }
  ExactTruth truth{.scores = {},
                   .implausibility = map("implausibility"),
                   .misalignment = map("misalignment"),
                   .misaligned_words = file_.read_bytes("misaligned_words", row, row + 1).at(0),
                   .word_kinds = file_.read_bytes("word_kinds", row, row + 1).at(0),
                   .flawed = !text("flaws").empty(),
                   .mismatched = !text("mismatches").empty()};
  const auto scores = file_.read("scores", row, row + 1).to(torch::kFloat).contiguous();
  if (scores.numel() != std::ssize(truth.scores)) {
    throw FileError(name_ + ": scores must be [N, 4], got " + std::to_string(scores.numel()) +
                    " of a picture");
  }
  std::copy_n(scores.const_data_ptr<float>(), truth.scores.size(), truth.scores.begin());
  const auto known = [](std::uint8_t kind) { return kind < kWordKinds.size(); };
  if (!std::all_of(truth.word_kinds.begin(), truth.word_kinds.end(), known)) {
    throw FileError(name_ + ": word_kinds of '" + image + "' must be below " +
                    std::to_string(kWordKinds.size()));
  }
  return truth;
}

}  // namespace rahf::reward
