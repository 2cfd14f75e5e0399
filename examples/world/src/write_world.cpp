#include "rahf/world/write_world.h"

#include <torch/types.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/hdf5.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/judgement.h"
#include "rahf/core/options.h"
#include "rahf/core/progress.h"

namespace rahf::world {
namespace {

constexpr std::int64_t kChunk = 256;  ///< Pictures drawn before any of them is written.
constexpr std::int64_t kVersion = 1;

std::string file_name(std::int64_t index) {
  char name[32];
  std::snprintf(name, sizeof name, "%06lld.png", static_cast<long long>(index));
  return name;
}

void write_bytes(const std::filesystem::path& path, const std::vector<std::uint8_t>& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw FileError(path.string() + ": cannot be written");
}

std::string records(const WorldPicture& picture, const std::string& image) {
  std::string lines;
  for (const auto& said : picture.annotations) {
    nlohmann::ordered_json scores;
    for (std::size_t k = 0; k < kScoreNames.size(); ++k) {
      scores[std::string(kScoreNames[k])] = said.scores[k];
    }
    const nlohmann::ordered_json record = {{"image", image},
                                           {"prompt", picture.prompt},
                                           {"annotator", said.annotator},
                                           {"implausible_points", said.implausible_points},
                                           {"misaligned_points", said.misaligned_points},
                                           {"misaligned_words", said.misaligned_words},
                                           {"scores", scores}};
    lines += record.dump();
    lines += '\n';
  }
  return lines;
}

template <class Kinds, class Name>
std::string joined(const Kinds& kinds, Name&& name_of) {
  std::string text;
  for (const auto& kind : kinds) {
    if (!text.empty()) text += ',';
    text += name_of(kind);
  }
  return text;
}

/// The rows of truth.h5 for some pictures.
class TruthFile {
 public:
  TruthFile(const std::filesystem::path& path, const WorldOptions& options,
            const Randomness& random)
      : file_(path, io::Hdf5File::Mode::kCreate), size_(options.size) {
    for (const auto* name : {"image", "prompt", "flaws", "mismatches"}) file_.create_strings(name);
    file_.create_array("scores", torch::kFloat, {4}, kChunk);
    for (const auto& name : kMapNames) {
      file_.create_array(std::string(name), torch::kUInt8, {size_, size_}, 16);
    }
    file_.create_array("severity", torch::kFloat, {}, kChunk);
    file_.create_bytes("misaligned_words");
    file_.create_bytes("word_kinds");
    file_.set_attribute("/", "format", std::string("rahf closed world truth"));
    file_.set_attribute("/", "version", kVersion);
    file_.set_attribute("/", "seed", static_cast<std::int64_t>(random.seed()));
    auto copy = options;
    for (const auto& field : option_fields(copy)) {
      file_.set_attribute("/", field.name, field.get());
    }
  }

  void append(const std::vector<WorldPicture>& pictures, const std::vector<std::string>& images) {
    const auto n = static_cast<std::int64_t>(pictures.size());
    std::vector<std::string> prompts, flaws, mismatches;
    std::vector<std::vector<std::uint8_t>> words, kinds;
    auto scores = torch::empty({n, 4}), severity = torch::zeros({n});
    auto implausibility = torch::empty({n, size_, size_}, torch::kUInt8);
    auto misalignment = torch::empty_like(implausibility);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto& truth = pictures[i].truth;
      prompts.push_back(pictures[i].prompt);
      flaws.push_back(joined(truth.flaws, [](const auto& flaw) { return name(flaw.kind); }));
      mismatches.push_back(joined(truth.mismatches, [](Mismatch kind) { return name(kind); }));
      auto& codes = kinds.emplace_back();
      auto& wrong = words.emplace_back();
      for (const auto error : truth.words) {
        codes.push_back(static_cast<std::uint8_t>(error));
        wrong.push_back(error != WordError::kNone);
      }
      std::copy(truth.scores.begin(), truth.scores.end(), scores.data_ptr<float>() + 4 * i);
      for (const auto& flaw : truth.flaws) {
        auto& worst = severity.data_ptr<float>()[i];
        worst = std::max(worst, static_cast<float>(flaw.severity));
      }
      const auto row = i * size_ * size_;
      std::copy(truth.implausibility.begin(), truth.implausibility.end(),
                implausibility.data_ptr<std::uint8_t>() + row);
      std::copy(truth.misalignment.begin(), truth.misalignment.end(),
                misalignment.data_ptr<std::uint8_t>() + row);
    }
    file_.append("image", images);
    file_.append("prompt", prompts);
    file_.append("flaws", flaws);
    file_.append("mismatches", mismatches);
    file_.append("scores", scores);
    file_.append("severity", severity);
    file_.append("implausibility", implausibility);
    file_.append("misalignment", misalignment);
    file_.append("misaligned_words", words);
    file_.append("word_kinds", kinds);
  }

  /// Completes the file. @throws FileError unless all of it is on the disk.
  void close(const std::filesystem::path& path, std::int64_t count) {
    file_.close();
    const auto rows = io::Hdf5File(path, io::Hdf5File::Mode::kRead).rows("word_kinds");
    if (rows != count) {
      throw FileError(path.string() + ": must hold the " + std::to_string(count) +
                      " rows just written, got " + std::to_string(rows));
    }
  }

 private:
  io::Hdf5File file_;
  std::int64_t size_;
};

}  // namespace

WorldSummary write_world(const std::filesystem::path& folder, std::int64_t count,
                         const WorldOptions& options, const Randomness& random) {
  options.validate();
  const auto pictures_folder = folder / "pictures";
  std::error_code failed;
  std::filesystem::create_directories(pictures_folder, failed);
  if (failed) throw FileError(pictures_folder.string() + ": cannot be made: " + failed.message());

  WorldSummary summary;
  const auto write_all = [&](std::ostream& annotations, TruthFile& truth) {
    Progress progress("pictures", count);
    for (std::int64_t begin = 0; begin < count; begin += kChunk) {
      const auto n = std::min(kChunk, count - begin);
      std::vector<WorldPicture> pictures(n);
      std::vector<std::string> images(n), lines(n);
      std::exception_ptr problem;
#pragma omp parallel for schedule(dynamic)
      for (std::int64_t i = 0; i < n; ++i) {
        try {
          images[i] = file_name(begin + i);
          pictures[i] = draw_picture(options, random, begin + i);
          lines[i] = records(pictures[i], images[i]);
          write_bytes(pictures_folder / images[i], io::encode_png(pictures[i].image));
        } catch (...) {
#pragma omp critical(rahf_world_problem)
          problem = std::current_exception();
        }
      }
      if (problem) std::rethrow_exception(problem);
      for (const auto& text : lines) annotations << text;
      truth.append(pictures, images);
      for (const auto& picture : pictures) {
        summary.flawed += !picture.truth.flaws.empty();
        summary.mismatched += !picture.truth.mismatches.empty();
      }
      summary.pictures += n;
      progress.add(n);
    }
  };
  io::replace_atomically(folder / "truth.h5", [&](const std::filesystem::path& truth_path) {
    TruthFile truth(truth_path, options, random);
    io::replace_atomically(folder / "annotations.jsonl", [&](const std::filesystem::path& path) {
      std::ofstream annotations(path, std::ios::binary);
      write_all(annotations, truth);
      truth.close(truth_path, count);
      if (!annotations.flush()) throw FileError(path.string() + ": cannot be written");
    });
  });
  return summary;
}

}  // namespace rahf::world
