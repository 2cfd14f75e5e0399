#include "rahf/reward/data/augment.h"

#include "rahf/core/error.h"
#include "rahf/core/random.h"
#include "reward/dataset_folder.h"
#include "support/catch.h"

using namespace rahf::reward;
using rahf::Image;

namespace {

/// A picture whose red is the implausibility map and whose green is the misalignment map.
Sample aligned_sample(std::int64_t height, std::int64_t width) {
  Sample sample;
  sample.image = "x.png";
  sample.prompt = "a cat";
  sample.scores = {0.1f, 0.2f, 0.3f, 0.4f};
  sample.picture = counting_picture(height, width, 7);
  sample.implausibility = torch::arange(width, torch::kByte).expand({height, width}).clone();
  sample.misalignment =
      torch::arange(height, torch::kByte).unsqueeze(1).expand({height, width}).clone();
  sample.misaligned_words = {1, 0};
  return sample;
}

Image one_pixel(std::uint8_t red, std::uint8_t green, std::uint8_t blue) {
  Image image(1, 1);
  image.pixels = {red, green, blue};
  return image;
}

/// Red and green of the picture, as the maps hold them.
torch::Tensor channel(const Image& image, int c) {
  return torch::from_blob(const_cast<std::uint8_t*>(image.pixels.data()),
                          {image.height, image.width, 3}, torch::kByte)
      .select(2, c)
      .clone();
}

}  // namespace

TEST_CASE("augment changes nothing when nothing is likely", "[reward][augment]") {
  auto engine = rahf::Randomness(1).engine("test", 0);
  auto sample = aligned_sample(9, 12);
  for (int i = 0; i < 20; ++i) augment(sample, AugmentOptions::none(), engine);
  const auto same = aligned_sample(9, 12);
  CHECK(sample.picture == same.picture);
  CHECK(sample.implausibility.equal(same.implausibility));
  CHECK(sample.misalignment.equal(same.misalignment));
}

TEST_CASE("augment crops picture and heatmaps alike, to the sizes asked for", "[reward][augment]") {
  auto options = AugmentOptions::none();
  options.crop = 1;
  std::int64_t least = 100, most = 0, last_corner = 0;
  for (int i = 0; i < 300; ++i) {
    auto engine = rahf::Randomness(3).engine("test", i);
    auto sample = aligned_sample(50, 100);
    augment(sample, options, engine);
    CHECK(channel(sample.picture, 0).equal(sample.implausibility));
    CHECK(channel(sample.picture, 1).equal(sample.misalignment));
    CHECK(sample.picture.height >= 40);
    CHECK(sample.picture.height <= 50);
    least = std::min(least, sample.picture.width);
    most = std::max(most, sample.picture.width);
    last_corner = std::max<std::int64_t>(last_corner, sample.picture.at(0, 0)[0]);
    CHECK(sample.scores == aligned_sample(2, 2).scores);
  }
  CHECK(least == 80);
  CHECK(most == 100);
  CHECK(last_corner > 15);
}

TEST_CASE("crop cuts the same part from a heatmap of another size", "[reward][augment]") {
  auto sample = aligned_sample(40, 40);
  sample.implausibility = torch::zeros({20, 20}, torch::kByte);
  sample.implausibility.slice(0, 5, 15).slice(1, 10, 18).fill_(1);
  crop(sample, {.y = 10, .x = 20, .height = 20, .width = 16});
  CHECK(sample.implausibility.sizes() == torch::IntArrayRef{10, 8});
  CHECK(sample.implausibility.min().item<int>() == 1);
  CHECK(sample.picture.height == 20);
  CHECK(sample.picture.at(0, 0)[0] == 20);
  CHECK(sample.picture.at(19, 15)[1] == 29);
}

TEST_CASE("augment draws each change independently of the others", "[reward][augment]") {
  auto crop_only = AugmentOptions::none();
  crop_only.crop = 0.5;
  auto all = AugmentOptions{};
  all.crop = 0.5;
  for (int i = 0; i < 50; ++i) {
    auto first = rahf::Randomness(5).engine("test", i), second = first;
    auto a = aligned_sample(30, 30), b = aligned_sample(30, 30);
    augment(a, crop_only, first);
    augment(b, all, second);
    CHECK(a.implausibility.equal(b.implausibility));
    CHECK(first() == second());
  }
}

TEST_CASE("augment changes as many pictures as its probabilities say", "[reward][augment]") {
  auto options = AugmentOptions::none();
  int changed = 0;
  options.grey = 0.25;
  for (int i = 0; i < 400; ++i) {
    auto engine = rahf::Randomness(7).engine("test", i);
    auto sample = aligned_sample(4, 4);
    augment(sample, options, engine);
    changed += sample.picture != aligned_sample(4, 4).picture;
  }
  CHECK(std::abs(changed - 100) < 35);  // 4 standard deviations.
}

TEST_CASE("changes of colour give what is worked out by hand", "[reward][augment]") {
  const auto changed = [](Image image, const auto& change) {
    change(image);
    return image.pixels;
  };
  using Pixel = std::vector<std::uint8_t>;
  CHECK(changed(one_pixel(10, 200, 250), [](auto& i) { shift_brightness(i, 0.05); }) ==
        Pixel{23, 213, 255});
  CHECK(changed(one_pixel(10, 200, 250), [](auto& i) { shift_brightness(i, -0.05); }) ==
        Pixel{0, 187, 237});
  CHECK(changed(one_pixel(255, 0, 0), [](auto& i) { change_colour(i, 1.0 / 3, 1); }) ==
        Pixel{0, 255, 0});
  CHECK(changed(one_pixel(255, 0, 0), [](auto& i) { change_colour(i, -1.0 / 3, 1); }) ==
        Pixel{0, 0, 255});
  CHECK(changed(one_pixel(200, 100, 0), [](auto& i) { change_colour(i, 0, 0.5); }) ==
        Pixel{200, 150, 100});
  CHECK(changed(one_pixel(90, 90, 90), [](auto& i) { change_colour(i, 0.4, 0.5); }) ==
        Pixel{90, 90, 90});
  CHECK(changed(one_pixel(255, 0, 0), make_grey) == Pixel{76, 76, 76});
  CHECK(changed(one_pixel(10, 20, 30), make_grey) == Pixel{18, 18, 18});
  Image two(1, 2);
  two.pixels = {0, 100, 50, 100, 200, 50};
  CHECK(changed(two, [](auto& i) { scale_contrast(i, 0.8); }) == Pixel{10, 110, 50, 90, 190, 50});
}

TEST_CASE("change_colour undoes itself", "[reward][augment]") {
  auto image = counting_picture(16, 16, 90);
  for (auto& value : image.pixels) value = static_cast<std::uint8_t>(value * 7);
  auto turned = image;
  change_colour(turned, 0.1, 1);
  CHECK(turned != image);
  change_colour(turned, -0.1, 1);
  for (std::size_t i = 0; i < image.pixels.size(); ++i) {
    CHECK(std::abs(turned.pixels[i] - image.pixels[i]) <= 2);
  }
}

TEST_CASE("AugmentOptions names the option that is out of range", "[reward][augment][errors]") {
  AugmentOptions options;
  CHECK_NOTHROW(options.validate());
  options.hue_most = 0.6;
  REQUIRE_THROWS_MATCHES(options.validate(), rahf::ConfigError,
                         Says("augment.hue_most must be in [0, 0.5], got 0.6"));
}
