#include "rahf/reward/data/split.h"

#include <string>

#include "support/catch.h"

using rahf::reward::Split;
using rahf::reward::split_of;

TEST_CASE("split_of depends on the words and the seed alone", "[reward][split]") {
  int moved = 0;
  for (int i = 0; i < 200; ++i) {
    const auto words = "a cat and " + std::to_string(i) + " dogs";
    const auto split = split_of(words, 0.3, 0.3, 1);
    CHECK(split_of("a cat, and  " + std::to_string(i) + " dogs.", 0.3, 0.3, 1) == split);
    moved += split_of(words, 0.3, 0.3, 2) != split;
  }
  CHECK(moved > 60);  // 1 - (.4^2 + .3^2 + .3^2) = 66 % of 200 are expected to.
}

TEST_CASE("split_of gives each split its share of prompts", "[reward][split]") {
  std::array<int, 3> counts = {};
  for (int i = 0; i < 10000; ++i) {
    ++counts[static_cast<int>(split_of("prompt " + std::to_string(i), 0.1, 0.2, 7))];
  }
  CHECK(std::abs(counts[0] - 7000) < 200);  // 4 standard deviations and more.
  CHECK(std::abs(counts[1] - 1000) < 150);
  CHECK(std::abs(counts[2] - 2000) < 200);
}

TEST_CASE("split_of gives shares of nothing and of everything exactly", "[reward][split]") {
  for (int i = 0; i < 300; ++i) {
    const auto prompt = std::to_string(i);
    CHECK(split_of(prompt, 0, 0, 0) == Split::kTrain);
    CHECK(split_of(prompt, 1, 0, 0) == Split::kDev);
    CHECK(split_of(prompt, 0, 1, 0) == Split::kTest);
  }
}
