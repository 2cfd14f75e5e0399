#include "rahf/reward/report/prediction.h"

#include <limits>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/image_file.h"
#include "rahf/core/prompt_error.h"
#include "reward/toy_reward.h"
#include "support/catch.h"
#include "support/scratch.h"

using rahf::Image;
using rahf::reward::PictureRequest;
using rahf::reward::predict_batch;
using rahf::reward::predict_pictures;
using rahf::reward::Prediction;

namespace {

Image plain(std::int64_t height, std::int64_t width, std::uint8_t red) {
  Image image(height, width);
  for (std::size_t i = 0; i < image.pixels.size(); i += 3) image.pixels[i] = red;
  return image;
}

}  // namespace

TEST_CASE("predict_batch gives maps and scores per picture at the picture's own size",
          "[reward][prediction]") {
  const auto input_size = GENERATE(0, 4);
  ToyReward reward(input_size);

  const auto predictions =
      predict_batch(reward, {plain(6, 4, 51), plain(8, 3, 255), plain(6, 4, 102)},
                    {{"a.png", "no cat, a dog"}, {"b.png", ""}, {"c.png", "x"}});

  CHECK(reward.batch_sizes ==
        (input_size > 0 ? std::vector<std::int64_t>{3} : std::vector<std::int64_t>{2, 1}));
  REQUIRE(predictions.size() == 3);
  const double red[] = {0.2, 1.0, 0.4};
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(predictions[i].index == i);
    CHECK(predictions[i].scores.at(0) == Approx(red[i]));
    CHECK(predictions[i].scores.at(3) == Approx(red[i] / 3));
    CHECK(predictions[i].implausibility.sizes() ==
          torch::IntArrayRef{predictions[i].picture.height, predictions[i].picture.width});
    CHECK(predictions[i].implausibility.min().item<double>() == Approx(red[i]));
    CHECK(predictions[i].misalignment.max().item<double>() == 0);
  }
  CHECK(predictions[1].picture.height == 8);
  CHECK(predictions[0].words == std::vector<std::string>{"no", "cat", "a", "dog"});
  CHECK(predictions[0].missed_words(0.5) == std::vector<std::uint8_t>{1, 0, 0, 0});
  CHECK(predictions[0].missed_words(0.2) == std::vector<std::uint8_t>{1, 1, 1, 1});
  CHECK(predictions[1].words.empty());
}

TEST_CASE("predict_batch refuses another number of prompts than of pictures",
          "[reward][prediction][errors]") {
  ToyReward reward;
  REQUIRE_THROWS_MATCHES(predict_batch(reward, {plain(1, 1, 0)}, {}), rahf::ShapeError,
                         Says("requests must be as many as the pictures, 1, got 0"));
}

TEST_CASE("predict_pictures skips the prompt that cannot be read, alone of its batch",
          "[reward][prediction]") {
  class Short : public ToyReward {
   public:
    rahf::Judgement judge(const torch::Tensor& images, const rahf::Prompts& prompts,
                          const rahf::Ask& ask) override {
      for (const auto& prompt : prompts) {
        if (prompt.text.size() > 5) throw rahf::PromptError("too long");
      }
      return ToyReward::judge(images, prompts, ask);
    }
  } reward;
  const ScratchFolder folder;
  std::vector<PictureRequest> requests;
  for (const char* prompt : {"a", "b", "much too long", "d", "also too long"}) {
    const auto path = folder / (std::to_string(requests.size()) + ".png");
    rahf::io::write_image(path, plain(2, 2, 0));
    requests.push_back({path, prompt});
  }
  requests[1].picture = folder / "missing.png";
  std::vector<std::size_t> seen;
  const auto skipped = predict_pictures(reward, requests, {.batch = GENERATE(1, 2, 10)},
                                        [&](const std::vector<Prediction>& some) {
                                          for (const auto& one : some) seen.push_back(one.index);
                                        });
  CHECK(seen == std::vector<std::size_t>{0, 3});
  REQUIRE(skipped.size() == 3);
  CHECK(skipped[0].index == 1);
  CHECK(skipped[1].index == 2);
  CHECK(skipped[2].index == 4);
  CHECK(skipped[1].reason == "too long");
}

TEST_CASE("predict_batch refuses a reward that says NaN, naming picture and output",
          "[reward][prediction][errors]") {
  class Broken : public ToyReward {
   public:
    rahf::Judgement judge(const torch::Tensor& images, const rahf::Prompts& prompts,
                          const rahf::Ask& ask) override {
      auto judgement = ToyReward::judge(images, prompts, ask);
      judgement.scores[1][2] = std::numeric_limits<float>::quiet_NaN();
      return judgement;
    }
  } reward;
  REQUIRE_THROWS_MATCHES(
      predict_batch(reward, {plain(2, 2, 0), plain(2, 2, 9)}, {{"x/a.png", ""}, {"x/b.png", ""}}),
      rahf::NonFiniteError, Says("got nan in scores (aesthetics) for x/b.png"));
}

TEST_CASE("predict_pictures keeps the order and leaves out what cannot be read",
          "[reward][prediction]") {
  const ScratchFolder folder;
  std::vector<PictureRequest> requests;
  for (int i = 0; i < 7; ++i) {
    const auto path = folder / (std::to_string(9 - i) + ".png");
    rahf::io::write_image(path, plain(2 + i % 2, 3, static_cast<std::uint8_t>(10 * i)));
    requests.push_back({path, "prompt " + std::to_string(i)});
  }
  rahf::io::write_atomically(requests[1].picture, "\x89PNG\r\n\x1a\n and no more");
  requests[4].picture = folder / "missing.png";
  const std::int64_t batch = GENERATE(1, 2, 3, 100);
  ToyReward reward(2);

  std::vector<std::size_t> seen;
  const auto skipped =
      predict_pictures(reward, requests, {.batch = batch}, [&](std::vector<Prediction> some) {
        CHECK(std::ssize(some) <= batch);
        for (const auto& prediction : some) {
          seen.push_back(prediction.index);
          CHECK(prediction.prompt == requests[prediction.index].prompt);
          CHECK(prediction.picture.at(0, 0)[0] == 10 * prediction.index);
        }
      });

  CHECK(seen == std::vector<std::size_t>{0, 2, 3, 5, 6});
  REQUIRE(skipped.size() == 2);
  CHECK(skipped[0].picture == requests[1].picture);
  CHECK(skipped[1].picture == requests[4].picture);
  CHECK(skipped[1].reason == "cannot be opened (No such file or directory)");
}
