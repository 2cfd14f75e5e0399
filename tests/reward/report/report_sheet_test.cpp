#include "rahf/reward/report/report_sheet.h"

#include <algorithm>

#include "rahf/reward/report/overlay.h"
#include "support/catch.h"

using rahf::Image;
using rahf::reward::report_sheet;
using rahf::reward::ReportRow;

namespace {

const std::vector<std::string> kNames = {"plausibility", "alignment", "aesthetics", "overall"};

ReportRow plain_row(std::int64_t height, std::int64_t width) {
  ReportRow row;
  row.prediction.picture = row.truth.picture = Image(height, width);
  row.prediction.prompt = row.truth.prompt = "a red cat";
  row.prediction.scores = {0.5, 0.5, 0.5, 0.5};
  row.prediction.implausibility = row.prediction.misalignment = torch::zeros({height, width});
  row.prediction.words = {"a", "red", "cat"};
  row.prediction.word_misaligned = {0, 0, 0};
  row.truth.scores = {0.5F, 0.5F, 0.5F, 0.5F};
  row.truth.implausibility = row.truth.misalignment = torch::zeros({16, 16}, torch::kByte);
  row.truth.misaligned_words = {0, 0, 0};
  return row;
}

// Columns of pixels in which two sheets of the same size differ: [first, last].
std::pair<std::int64_t, std::int64_t> difference(const ReportRow& a, const ReportRow& b) {
  const auto one = report_sheet({a}, kNames, 0.5), two = report_sheet({b}, kNames, 0.5);
  REQUIRE(one.width == two.width);
  REQUIRE(one.height == two.height);
  std::int64_t first = one.width, last = -1;
  for (std::int64_t y = 0; y < one.height; ++y) {
    for (std::int64_t x = 0; x < one.width; ++x) {
      if (std::equal(one.at(y, x), one.at(y, x) + 3, two.at(y, x))) continue;
      first = std::min(first, x);
      last = std::max(last, x);
    }
  }
  return {first, last};
}

}  // namespace

TEST_CASE("report_sheet shows each heatmap, the words and the scores in a place of their own",
          "[reward][report_sheet]") {
  constexpr std::int64_t kTile = 232;  // from one tile to the next; the first begins at 24
  const auto plain = plain_row(64, 64);
  const auto in_tile = [&](const ReportRow& row, std::int64_t tile) {
    const auto [first, last] = difference(plain, row);
    CHECK(first >= 24 + tile * kTile);
    CHECK(last < 24 + (tile + 1) * kTile);
  };
  auto row = plain;
  SECTION("predicted implausibility") {
    row.prediction.implausibility = torch::ones({64, 64});
    in_tile(row, 1);
  }
  SECTION("true implausibility") {
    row.truth.implausibility = torch::full({16, 16}, 255, torch::kByte);
    in_tile(row, 2);
  }
  SECTION("predicted misalignment") {
    row.prediction.misalignment = torch::ones({64, 64});
    in_tile(row, 3);
  }
  SECTION("true misalignment") {
    row.truth.misalignment = torch::full({16, 16}, 255, torch::kByte);
    in_tile(row, 4);
  }
  SECTION("predicted words") {
    row.prediction.word_misaligned[1] = 0.6;
    CHECK(difference(plain, row).first > 24 + 5 * kTile);
  }
  SECTION("true words") {
    row.truth.misaligned_words[1] = 1;
    CHECK(difference(plain, row).first > 24 + 5 * kTile);
  }
  SECTION("a true score") {
    row.truth.scores[3] = 0.9F;
    CHECK(difference(plain, row).first > 24 + 5 * kTile);
  }
}

TEST_CASE("report_sheet has a row per picture of any size", "[reward][report_sheet]") {
  const auto one = report_sheet({plain_row(64, 64)}, kNames, 0.5);
  const auto three =
      report_sheet({plain_row(64, 64), plain_row(300, 700), plain_row(9, 2)}, kNames, 0.5);
  CHECK(three.width == one.width);
  CHECK(three.height == one.height + 2 * 232);
}

TEST_CASE("report_sheet leaves the people's places empty where nobody judged a picture",
          "[reward][report_sheet]") {
  const auto judged = plain_row(64, 64);
  auto unjudged = judged;
  unjudged.truth = {};
  CHECK_FALSE(unjudged.judged_by_people());
  const auto bare = report_sheet({unjudged}, kNames, 0.5);
  CHECK_FALSE((bare == report_sheet({judged}, kNames, 0.5)));
  unjudged.truth.implausibility = torch::full({16, 16}, 255, torch::kByte);
  CHECK((bare == report_sheet({unjudged}, kNames, 0.5)));
}
