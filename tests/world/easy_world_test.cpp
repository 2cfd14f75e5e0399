#include <torch/types.h>

#include <algorithm>
#include <set>

#include "rahf/core/error.h"
#include "rahf/core/io/prompt_file.h"
#include "rahf/world/caption.h"
#include "rahf/world/captions_of_one_group.h"
#include "rahf/world/picture_stream.h"
#include "rahf/world/preset.h"
#include "rahf/world/render.h"
#include "rahf/world/verdict.h"
#include "support/catch.h"
#include "support/paths.h"

using namespace rahf::world;
using rahf::Prompts;
using rahf::Randomness;

namespace {

/// Count, size, colour and shape of a caption, numbered.
std::array<std::int64_t, 4> attributes(const std::string& caption) {
  const auto group = parse_caption(caption)->first;
  return {group.count, static_cast<std::int64_t>(group.size),
          static_cast<std::int64_t>(group.colour), static_cast<std::int64_t>(group.shape)};
}

Prompts prompts_of(const std::vector<std::string>& texts) {
  Prompts prompts;
  for (const auto& text : texts) prompts.push_back({text});
  return prompts;
}

}  // namespace

TEST_CASE("captions_of_one_group are 288, a quarter held out, no pair of words unseen",
          "[world][caption]") {
  const auto all = captions_of_one_group(), learn = captions_of_one_group(CaptionPart::kLearn),
             held_out = captions_of_one_group(CaptionPart::kHeldOut);
  CHECK(all.size() == 288);
  CHECK(held_out.size() == 72);
  std::set<std::string> joined(learn.begin(), learn.end());
  joined.insert(held_out.begin(), held_out.end());
  CHECK((joined == std::set<std::string>(all.begin(), all.end())));
  std::set<std::array<std::int64_t, 4>> seen;
  for (const auto& text : learn) {
    const auto is = attributes(text);
    for (std::int64_t a = 0; a < 4; ++a) {
      for (auto b = a + 1; b < 4; ++b) seen.insert({a, b, is[a], is[b]});
    }
  }
  CHECK(seen.size() == 3 * 2 + 3 * 8 + 3 * 6 + 2 * 8 + 2 * 6 + 8 * 6);
}

TEST_CASE("The prompt files are the captions of one group", "[world][caption]") {
  const auto folder = rahf::test::source_folder() / "configs/prompts";
  for (const auto& [file, part] : {std::pair{"easy-learn.txt", CaptionPart::kLearn},
                                   std::pair{"easy-held-out.txt", CaptionPart::kHeldOut}}) {
    std::vector<std::string> texts;
    for (const auto& prompt : rahf::io::read_prompts(folder / file)) texts.push_back(prompt.text);
    CHECK((texts == captions_of_one_group(part)));
  }
}

TEST_CASE("PictureStream draws the same pictures however a stretch is cut", "[world][stream]") {
  const PictureStream stream(world_options(Preset::kEasy), Randomness(3));
  const auto whole = stream.at(10, 6), part = stream.at(13, 3);
  REQUIRE((whole.images.sizes() == at::IntArrayRef{6, 3, 64, 64}));
  CHECK(torch::equal(whole.images.slice(0, 3), part.images));
  CHECK(whole.prompts[4].text == part.prompts[1].text);
  CHECK_FALSE(torch::equal(whole.images[0], whole.images[1]));
  CHECK(whole.images.max().item<float>() <= 1);
}

TEST_CASE("PictureStream keeps to its captions", "[world][stream]") {
  const std::vector<std::string> captions = {"a small red circle", "two large blue stars"};
  const PictureStream stream(world_options(Preset::kEasy), Randomness(3), captions);
  std::set<std::string> drawn;
  for (const auto& prompt : stream.at(0, 40).prompts) drawn.insert(prompt.text);
  CHECK((drawn == std::set<std::string>(captions.begin(), captions.end())));
  CHECK_THROWS_MATCHES(PictureStream({}, Randomness(1), {"a cat"}), rahf::ConfigError,
                       Says("captions must be of the closed world's grammar, got 'a cat'"));
}

TEST_CASE("PictureStream says which sequence it is", "[world][stream]") {
  const auto easy = world_options(Preset::kEasy);
  const std::vector<std::string> circle = {"a small red circle"}, star = {"a small red star"};
  const auto identity = PictureStream(easy, Randomness(3), circle).identity();
  CHECK(identity == PictureStream(easy, Randomness(3), circle).identity());
  CHECK_FALSE(identity == PictureStream(easy, Randomness(4), circle).identity());
  CHECK_FALSE(identity == PictureStream(easy, Randomness(3), star).identity());
  CHECK_FALSE(identity == PictureStream({}, Randomness(3), circle).identity());
}

TEST_CASE("The easy preset mismatches .6 of its pictures and flaws none", "[world][preset]") {
  const auto options = world_options(Preset::kEasy);
  int mismatched = 0;
  constexpr int kPictures = 1000;
  for (int i = 0; i < kPictures; ++i) {
    const auto picture = draw_picture(options, Randomness(8), i);
    REQUIRE(picture.truth.flaws.empty());
    REQUIRE_FALSE(picture.asked.second);
    mismatched += !picture.truth.mismatches.empty();
  }
  CHECK(mismatched > 550);
  CHECK(mismatched < 650);
}

TEST_CASE("inspect_all tells right pictures from wrong and empty ones", "[world][verdict]") {
  auto options = world_options(Preset::kEasy);
  options.mismatched_share = 0;
  const PictureStream stream(options, Randomness(4), {"a small red circle"});
  auto drawn = stream.at(0, 3);
  drawn.images[2].fill_(236.0 / 255);
  drawn.prompts[1].text = "a small blue circle";
  const auto verdicts = inspect_all(Inspector(), drawn.images, drawn.prompts);
  CHECK(verdicts[0].good());
  CHECK(verdicts[0].all_right);
  CHECK(verdicts[0].aesthetics > 0);
  CHECK(verdicts[1].plausibility > .9);
  CHECK_FALSE(verdicts[1].all_right);
  CHECK(verdicts[2].plausibility == 0);
  CHECK(verdicts[2].aesthetics == 0);
  CHECK_FALSE(verdicts[2].all_right);
  CHECK_THROWS_MATCHES(inspect_all(Inspector(), drawn.images, prompts_of({"a small red star"})),
                       rahf::ShapeError, Says("must be one per prompt, got 3 for 1 prompts"));
}

TEST_CASE("means are over pictures, their intervals over prompts", "[world][verdict]") {
  const std::vector<Verdict> verdicts = {{.plausibility = 1, .alignment = 1, .all_right = true},
                                         {.plausibility = .5, .alignment = 1, .all_right = true},
                                         {.plausibility = 0, .alignment = .25},
                                         {.plausibility = .1, .alignment = .75}};
  const auto prompts = prompts_of({"a", "a", "b", "b"});
  const auto all = means(verdicts, prompts);
  CHECK(all.pictures == 4);
  CHECK(all.prompts == 2);
  CHECK(all.plausibility.value == Approx(.4));
  CHECK(all.alignment.value == Approx(.75));
  CHECK(all.all_right.value == Approx(.5));
  CHECK(all.good.value == Approx(.25));
  // With two prompts a resample is one of them twice, or both.
  CHECK(all.all_right.low == Approx(0));
  CHECK(all.all_right.high == Approx(1));
}

TEST_CASE("gains compare picture by picture", "[world][verdict]") {
  const auto prompts = prompts_of({"a", "b", "c"});
  const std::vector<Verdict> before = {{.plausibility = .1, .alignment = .5},
                                       {.plausibility = .5, .alignment = .5},
                                       {.plausibility = .9, .alignment = .5, .all_right = true}};
  auto after = before;
  for (auto& said : after) said.plausibility += .05;
  after[2].all_right = false;
  const auto gain = gains(before, after, prompts);
  CHECK(gain.plausibility.value == Approx(.05));
  CHECK(gain.plausibility.low == Approx(.05));  // every pair gains the same
  CHECK(gain.plausibility.high == Approx(.05));
  CHECK(gain.alignment.value == Approx(0).margin(1e-12));
  CHECK(gain.all_right.value == Approx(-1.0 / 3));
}
