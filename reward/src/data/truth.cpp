#include "rahf/reward/data/truth.h"

#include <c10/util/StringUtil.h>

#include <algorithm>

#include "rahf/core/error.h"
#include "rahf/core/judgement.h"
#include "rahf/core/words.h"

namespace rahf::reward {

TruthFile::TruthFile(const std::filesystem::path& file)
    : name_(file.string()), file_(file, io::Hdf5File::Mode::kRead) {
  const auto count = file_.rows("image");
  for (const auto* table : {"prompt", "flaws", "mismatches", "scores", "implausibility",
                            "misalignment", "misaligned_words", "word_kinds"}) {
    if (const auto rows = file_.rows(table); rows != count) {
      throw FileError(
          c10::str(name_, ": table '", table, "' must have ", count, " rows, got ", rows));
    }
  }
  for (const auto name : kMapNames) {
    const std::string map(name);
    if (file_.dtype(map) == torch::kByte && file_.row_shape(map).size() == 2) continue;
    throw FileError(c10::str(name_, ": table '", map, "' must have rows of [H, W] Byte, got ",
                             at::IntArrayRef(file_.row_shape(map)), ' ', file_.dtype(map)));
  }
  const auto images = file_.read_strings("image", 0, count);
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
  const auto words = split_words(prompt).size();
  if (truth.misaligned_words.size() != words || truth.word_kinds.size() != words) {
    throw FileError(c10::str(name_, ": '", image, "' must have one flag and one kind per word, ",
                             words, ", got ", truth.misaligned_words.size(), " and ",
                             truth.word_kinds.size()));
  }
  const auto known = [](std::uint8_t kind) { return kind < kWordKinds.size(); };
  if (!std::all_of(truth.word_kinds.begin(), truth.word_kinds.end(), known)) {
    throw FileError(name_ + ": word_kinds of '" + image + "' must be below " +
                    std::to_string(kWordKinds.size()));
  }
  return truth;
}

}  // namespace rahf::reward
