#include "rahf/core/judgement.h"

#include <limits>

#include "rahf/core/error.h"
#include "rahf/core/reward.h"
#include "support/catch.h"

using namespace rahf;

namespace {

Judgement sound() {
  Judgement judgement;
  judgement.scores = torch::full({2, 1}, .5);
  judgement.implausibility = torch::zeros({2, 3, 4});
  judgement.misalignment = torch::zeros({2, 3, 4});
  judgement.words = lay_out_words({{.text = "a cat"}, {}}, torch::kCPU);
  judgement.words.misaligned = torch::zeros({2, 2});
  judgement.written = torch::zeros({2, 2}, torch::kBool);
  return judgement;
}

void check(const Judgement& judgement) {
  check_judgement("here", judgement, {"a.png", "b.png"}, {"beauty"});
}

}  // namespace

TEST_CASE("lay_out_words masks what a shorter prompt lacks", "[core][judgement]") {
  const auto words = lay_out_words({{.text = "a"}, {.text = "two, words!"}, {}}, torch::kCPU);
  CHECK(torch::equal(words.mask, torch::tensor({{true, false}, {true, true}, {false, false}})));
  CHECK(words.text[1][1] == "words");
  CHECK_FALSE(words.misaligned.defined());
  CHECK(lay_out_words({{}, {}}, torch::kCPU).mask.sizes() == at::IntArrayRef({2, 0}));
}

TEST_CASE("check_judgement lets sound and missing parts pass", "[core][judgement]") {
  CHECK_NOTHROW(check(sound()));
  CHECK_NOTHROW(check({}));
}

TEST_CASE("check_judgement names output and picture of a value that is not finite",
          "[core][judgement][errors]") {
  auto judgement = sound();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  SECTION("a score") {
    judgement.scores[1][0] = nan;
    REQUIRE_THROWS_MATCHES(
        check(judgement), NonFiniteError,
        Says("here: a reward's values must be finite, got nan in scores (beauty) for b.png"));
  }
  SECTION("a pixel") {
    judgement.misalignment[0][2][3] = std::numeric_limits<float>::infinity();
    REQUIRE_THROWS_MATCHES(check(judgement), NonFiniteError,
                           Says("got inf in misalignment for a.png"));
  }
  SECTION("a word") {
    judgement.words.misaligned[0][1] = nan;
    REQUIRE_THROWS_MATCHES(check(judgement), NonFiniteError,
                           Says("got nan in words.misaligned for a.png"));
  }
}

TEST_CASE("check_judgement refuses parts of other sizes", "[core][judgement][errors]") {
  auto judgement = sound();
  SECTION("another number of scores than names") {
    judgement.scores = torch::zeros({2, 3});
    REQUIRE_THROWS_MATCHES(check(judgement), ShapeError, Says("scores must be [2, 1], got [2, 3]"));
  }
  SECTION("flags for other words") {
    judgement.written = torch::zeros({2, 5}, torch::kBool);
    REQUIRE_THROWS_MATCHES(check(judgement), ShapeError, Says("written must be [2, words]"));
  }
}

TEST_CASE("check_pictures says what pictures must be", "[core][judgement][errors]") {
  const Prompts prompts(2);
  const auto refused = [&](const torch::Tensor& images, const char* text) {
    REQUIRE_THROWS_MATCHES(check_pictures("f", images, prompts, torch::kCPU), ShapeError,
                           Says(text));
  };
  CHECK_NOTHROW(check_pictures("f", torch::zeros({2, 3, 4, 5}), prompts, torch::kCPU));
  refused(torch::zeros({2, 4, 5, 3}), "f: images must be [B, 3, H, W], got [2, 4, 5, 3]");
  refused(torch::zeros({2, 3, 4, 5}, torch::kByte),
          "images must be Float RGB in [0, 1], got Byte (divide 8-bit pictures by 255");
  refused(torch::zeros({2, 3, 0, 5}), "images must have pixels, got [2, 3, 0, 5]");
  refused(torch::zeros({1, 3, 4, 5}), "prompts must be as many as images (1), got 2");
  refused({}, "images must be [B, 3, H, W], got an undefined tensor");
}
