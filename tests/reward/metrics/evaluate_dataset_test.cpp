#include "rahf/reward/metrics/evaluate_dataset.h"

#include <cmath>
#include <string>

#include "rahf/core/error.h"
#include "rahf/core/io/image_file.h"
#include "rahf/reward/data/consolidate.h"
#include "reward/toy_reward.h"
#include "support/catch.h"
#include "support/scratch.h"

using namespace rahf::reward;

namespace {

constexpr std::int64_t kSide = 20;

/// Six pictures, redder and redder, each seen by three people who disagree a little.
class Small {
 public:
  Small() {
    std::vector<DatasetRow> rows;
    for (std::int64_t i = 0; i < 6; ++i) {
      rahf::Image picture(kSide, kSide);
      for (std::size_t p = 0; p < picture.pixels.size(); p += 3) {
        picture.pixels[p] = static_cast<std::uint8_t>(40 * i);
      }
      DatasetRow row;
      row.image = std::to_string(i) + ".png";
      row.prompt = i % 2 ? "no cat" : "a cat";
      row.picture = rahf::io::encode_png(picture);
      row.height = row.width = kSide;
      for (std::int64_t who = 0; who < (i == 5 ? 1 : 3); ++who) {
        const auto likert = std::clamp<std::int64_t>(1 + i - (who == 2), 1, 5);
        Annotation one{.image = row.image,
                       .prompt = row.prompt,
                       .annotator = std::string(1, static_cast<char>('a' + who)),
                       .implausible_points = {},
                       .misaligned_points = {},
                       .misaligned_words = {},
                       .scores = {likert, likert, 3, likert}};
        if (i >= 3) one.implausible_points.push_back({double(5 + who), 10});
        if (i % 2 && who < 2) one.misaligned_words.push_back(0);
        row.annotations.push_back(one);
      }
      const auto feedback = consolidate(row.annotations, kSide, kSide);
      row.scores = feedback.scores;
      row.implausibility = feedback.implausibility;
      row.misalignment = feedback.misalignment;
      row.misaligned_words = feedback.misaligned_words;
      row.split = i < 2 ? Split::kTrain : Split::kTest;
      rows.push_back(row);
    }
    DatasetWriter writer(path(), kSide, {});
    writer.append(rows);
    writer.finish();
  }
  std::filesystem::path path() const { return scratch_ / "small.h5"; }

  /// Of the first `count` pictures: odd ones are mismatched by their first word's colour.
  std::filesystem::path write_truth(std::int64_t count, const std::string& last_prompt) const {
    using rahf::io::Hdf5File;
    const auto file = scratch_ / "truth.h5";
    Hdf5File truth(file, Hdf5File::Mode::kCreate);
    std::vector<std::string> images, prompts, flaws, mismatches;
    std::vector<std::vector<std::uint8_t>> words, kinds;
    for (std::int64_t i = 0; i < count; ++i) {
      images.push_back(std::to_string(i) + ".png");
      prompts.push_back(i + 1 == count ? last_prompt : i % 2 ? "no cat" : "a cat");
      flaws.push_back(i >= 3 ? "smear" : "");
      mismatches.push_back(i % 2 ? "colour" : "");
      words.push_back({static_cast<std::uint8_t>(i % 2), 0});
      kinds.push_back({static_cast<std::uint8_t>(i % 2), 0});
    }
    for (const auto& [name, rows] :
         {std::pair("image", images), std::pair("prompt", prompts), std::pair("flaws", flaws),
          std::pair("mismatches", mismatches)}) {
      truth.create_strings(name);
      truth.append(name, rows);
    }
    truth.create_array("scores", torch::kFloat, {4}, 4);
    truth.append("scores",
                 torch::arange(count).to(torch::kFloat).div(8).view({-1, 1}).repeat({1, 4}));
    for (const auto* name : {"implausibility", "misalignment"}) {
      truth.create_array(name, torch::kByte, {kSide, kSide}, 4);
      auto maps = torch::zeros({count, kSide, kSide}, torch::kByte);
      maps.slice(0, 3).slice(1, 10, 11).slice(2, 4, 9) = 255;
      truth.append(name, maps);
    }
    truth.create_bytes("misaligned_words");
    truth.append("misaligned_words", words);
    truth.create_bytes("word_kinds");
    truth.append("word_kinds", kinds);
    return file;
  }

 private:
  ScratchFolder scratch_;
};

class WritingToy : public ToyReward {
 public:
  using ToyReward::ToyReward;
  rahf::Judgement judge(const torch::Tensor& images, const rahf::Prompts& prompts,
                        const rahf::Ask& ask) override {
    auto judgement = ToyReward::judge(images, prompts, ask);
    if (ask.written) {
      judgement.written = torch::tensor({false, true}).expand({std::ssize(prompts), 2});
    }
    return judgement;
  }
};

}  // namespace

TEST_CASE("measure_reward compares a reward with the consolidated feedback",
          "[reward][evaluate_dataset]") {
  const Small small;
  const Dataset dataset({small.path()});
  const auto side = GENERATE(0, 16);
  const auto batch = GENERATE(1, 4, 32);
  WritingToy reward(side);
  std::int64_t done = 0;
  const auto got = report(
      measure_reward(reward, {.dataset = dataset, .rows = dataset.indices("all")},
                     {.batch = batch, .progress = [&](std::int64_t count) { done += count; }}),
      {.resamples = 0});
  CHECK(done == 6);
  CHECK(got.pictures == 6);
  CHECK(got.scores.at("plausibility").at("plcc").value > .95);     // Redder is better here.
  CHECK(std::isnan(got.scores.at("alignment").at("plcc").value));  // The toy's is always 0.
  CHECK(got.scores.count("overall") == 1);
  CHECK(got.maps.at("implausibility").at("auc_judd").value == .5);  // The toy's maps are flat.
  CHECK(got.maps.at("implausibility").at("separation_auc").value == 1);
  CHECK(got.keywords.at("f1").value == 1);  // Misaligned words begin with "no".
  CHECK(got.written_keywords.at("f1").value == 0);
}

TEST_CASE("measure_annotators compares each with the others", "[reward][evaluate_dataset]") {
  const Small small;
  const Dataset dataset({small.path()});
  const auto measured = measure_annotators({.dataset = dataset, .rows = dataset.indices("all")});
  REQUIRE(measured.size() == 15);  // The sixth picture has one annotator.
  CHECK(measured[3].picture == 1);
  // Of picture 1, two say 2 and one says 1.
  CHECK(measured[3].said_scores[0] == .25);
  CHECK(measured[3].target_scores[0] == .125);
  CHECK(measured[5].said_scores[0] == 0);
  CHECK(measured[5].target_scores[0] == .25);
  // Its first word is marked by the first two: for the third that is the majority.
  CHECK(*measured[3].words == WordCounts{0, 1, 0});
  CHECK(*measured[5].words == WordCounts{0, 0, 1});
  const auto got = report(measured, {.resamples = 20});
  CHECK(got.pictures == 5);
  CHECK(got.maps.at("implausibility").at("cc").value > .3);
  CHECK(got.maps.at("implausibility").at("cc").value < 1);
}

TEST_CASE("measure_truth compares exact truth with the feedback", "[reward][evaluate_dataset]") {
  const Small small;
  const Dataset dataset({small.path()});
  const TruthFile truth(small.write_truth(6, "no cat"));
  const EvaluationSet set{.dataset = dataset, .rows = dataset.indices("all"), .truth = &truth};
  const auto got = report(measure_truth(set), {.resamples = 0});
  CHECK(got.scores.at("plausibility").at("plcc").value > .95);
  CHECK(got.maps.at("implausibility").at("auc_judd").value > .7);
  CHECK(got.maps.at("implausibility").at("separation_auc").value == 1);
  CHECK(got.keywords.at("recall_colour").value == 1);

  SECTION("and gives what is wrong to the other figures") {
    ToyReward reward;
    const auto by_kind = report(measure_reward(reward, set), {.resamples = 0});
    CHECK(by_kind.keywords.at("recall_colour").value == 1);
    CHECK(by_kind.maps.at("implausibility").at("separation_auc").value == 1);
  }
  SECTION("which it cannot without") {
    const EvaluationSet without{.dataset = dataset, .rows = {0}};
    REQUIRE_THROWS_MATCHES(measure_truth(without), rahf::ConfigError,
                           Says("exact truth is needed"));
  }
}

TEST_CASE("TruthFile says which picture does not fit the dataset",
          "[reward][evaluate_dataset][errors]") {
  const Small small;
  const Dataset dataset({small.path()});
  const TruthFile truth(small.write_truth(5, "a dog"));
  const auto measure_row = [&](std::int64_t row) {
    return measure_truth({.dataset = dataset, .rows = {row}, .truth = &truth});
  };
  REQUIRE_THROWS_MATCHES(measure_row(5), rahf::FileError, Says("has no '5.png'"));
  REQUIRE_THROWS_MATCHES(measure_row(4), rahf::FileError,
                         Says("the prompt of '4.png' must be the dataset's 'a cat', got 'a dog'"));
}

TEST_CASE("mean_feedback is the mean of the rows", "[reward][evaluate_dataset]") {
  const Small small;
  const Dataset dataset({small.path()});
  const auto mean = mean_feedback(dataset, dataset.indices("all"));
  double score = 0, heat = 0, words = 0;
  for (std::int64_t i = 0; i < 6; ++i) {
    score += dataset.scores(i)[0] / 6;
    heat += dataset.map(0, i).to(torch::kDouble).mean().item<double>() / 255 / 6;
    words += dataset.misaligned_words(i)[0] / 12.0;
  }
  CHECK(mean.scores[0] == Approx(score));
  CHECK(mean.scores[2] == Approx(.5));
  CHECK(mean.heat[0] == Approx(heat));
  CHECK(mean.misaligned == Approx(words));
}
