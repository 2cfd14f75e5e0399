#include "rahf/world/inspector.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "rahf/core/error.h"
#include "rahf/core/random.h"
#include "rahf/world/picture.h"
#include "support/catch.h"

using rahf::Image;
using namespace rahf::world;

namespace {

Object object(Shape shape, Colour colour, Size size, double x, double y) {
  return {shape, colour, size, x / 64, y / 64};
}

Image picture(const std::vector<Object>& objects, std::int64_t side = 64) {
  return render({objects}, side);
}

const Object kRedCircle = object(Shape::kCircle, Colour::kRed, Size::kLarge, 20.3, 22.7);
const Object kBlueStar = object(Shape::kStar, Colour::kBlue, Size::kSmall, 44.6, 45.1);

/// A disk of any radius and colour on the world's background.
Image disk(double radius, const Rgb& colour) {
  Canvas canvas(64);
  for (std::int64_t y = 0; y < 64; ++y) {
    for (std::int64_t x = 0; x < 64; ++x) {
      const double dx = static_cast<double>(x) + 0.5 - 32, dy = static_cast<double>(y) + 0.5 - 32;
      canvas.mix(y, x, colour, coverage(Shape::kCircle, dx, dy, radius));
    }
  }
  return canvas.image();
}

std::vector<bool> misaligned(const Inspection& seen) {
  std::vector<bool> words;
  for (const auto word : seen.alignment->words) words.push_back(word > kMisalignedAbove);
  return words;
}

std::vector<bool> only(std::size_t count, std::initializer_list<std::size_t> wrong) {
  std::vector<bool> words(count);
  for (const auto i : wrong) words[i] = true;
  return words;
}

}  // namespace

TEST_CASE("Inspector finds objects to a tenth of a pixel", "[world][inspector]") {
  const auto shape = static_cast<Shape>(GENERATE(range(0, 6)));
  const auto size = static_cast<Size>(GENERATE(range(0, 2)));
  const auto drawn = object(shape, Colour::kGreen, size, 30.37, 27.81);
  const auto seen = Inspector().inspect(picture({drawn}));
  REQUIRE(seen.objects.size() == 1);
  const auto& found = seen.objects[0].object;
  CHECK(found.shape == shape);
  CHECK(found.size == size);
  CHECK(found.colour == Colour::kGreen);
  CHECK(std::abs(found.x - drawn.x) * 64 < 0.1);
  CHECK(std::abs(found.y - drawn.y) * 64 < 0.1);
  CHECK(seen.plausibility == Approx(1));
  CHECK(seen.implausibility.max().item<float>() == 0);
}

TEST_CASE("Inspector tells every colour of the palette", "[world][inspector]") {
  const auto colour = static_cast<Colour>(GENERATE(range(0, 8)));
  const auto seen =
      Inspector().inspect(picture({object(Shape::kCross, colour, Size::kSmall, 30, 30)}));
  REQUIRE(seen.objects.size() == 1);
  CHECK(seen.objects[0].object.colour == colour);
}

TEST_CASE("Inspector describes the scene as its caption does", "[world][inspector]") {
  const auto seen = Inspector().inspect(picture({kRedCircle, kBlueStar}));
  CHECK(seen.caption == "a large red circle left of a small blue star");
  CHECK((seen.relations == std::vector{Relation::kLeftOf, Relation::kAbove}));
  CHECK(Inspector().inspect(picture({})).caption == "nothing");
}

TEST_CASE("Inspector finds what the caption gets wrong", "[world][inspector]") {
  const Inspector inspector;
  const auto image = picture({kRedCircle, kBlueStar});
  const auto look = [&](const std::string& prompt) { return inspector.inspect(image, prompt); };
  // Words: 0 a, 1 large, 2 red, 3 circle, 4 above, 5 a, 6 small, 7 blue, 8 star.
  auto seen = look("a large red circle above a small blue star");
  CHECK(seen.alignment->score == Approx(1).margin(0.001));
  CHECK(misaligned(seen) == only(9, {}));
  CHECK(seen.alignment->misalignment.max().item<float>() < 0.01F);

  seen = look("a large green circle above a small blue star");
  CHECK(seen.alignment->score == Approx(1 - 0.8 * 0.5).margin(0.001));
  CHECK(misaligned(seen) == only(9, {2}));
  CHECK(seen.alignment->errors[2] == WordError::kColour);
  // The circle is concerned, the star is not.
  CHECK(seen.alignment->misalignment[22][20].item<float>() == 1);
  CHECK(seen.alignment->misalignment[45][44].item<float>() < 0.01F);

  seen = look("a large red square above a small blue star");
  CHECK(seen.alignment->score == Approx(1 - 0.8 * 0.55).margin(0.001));
  CHECK(misaligned(seen) == only(9, {3}));

  CHECK(misaligned(look("a small red circle above a small blue star")) == only(9, {1}));
  CHECK(misaligned(look("two large red circles above a small blue star")) == only(9, {0}));

  seen = look("a large red circle below a small blue star");
  CHECK(seen.alignment->score == Approx(1 - 0.6).margin(0.001));
  CHECK(misaligned(seen) == only(9, {4}));
  CHECK(seen.alignment->errors[4] == WordError::kRelation);
  // Both words of the relation.
  CHECK(misaligned(look("a large red circle right of a small blue star")) == only(10, {4, 5}));

  // An extra object has no words.
  seen = look("a large red circle");
  CHECK(seen.alignment->score == Approx(1 - 0.35).margin(0.001));
  CHECK(misaligned(seen) == only(4, {}));
  CHECK(seen.alignment->misalignment[45][44].item<float>() == 1);
}

TEST_CASE("Inspector blames colour and shape for a group that is not there", "[world][inspector]") {
  const auto seen =
      Inspector().inspect(picture({kRedCircle}), "a large red circle above a small blue star");
  CHECK(seen.alignment->score == Approx(1 - 0.7).margin(0.001));
  CHECK(misaligned(seen) == only(9, {7, 8}));
  CHECK(seen.alignment->errors[7] == WordError::kMissing);
}

TEST_CASE("Inspector leaves alignment out for a prompt beyond the grammar", "[world][inspector]") {
  const Inspector inspector;
  const auto image = picture({kRedCircle});
  for (const auto* prompt :
       {"", "a photograph of a fire", "a red circle", "two large red circle"}) {
    const auto seen = inspector.inspect(image, prompt);
    CHECK_FALSE(seen.alignment);
    CHECK(seen.plausibility == Approx(1));
  }
}

TEST_CASE("Inspector gives partial credit for form", "[world][inspector]") {
  // The farther a disk's radius from 10 pixels, the less it is a large circle.
  const Inspector inspector;
  double last = 2;
  for (const double radius : {10.0, 11.0, 12.0, 13.5, 15.0}) {
    const auto seen = inspector.inspect(disk(radius, rgb(Colour::kRed)), "a large red circle");
    CAPTURE(radius);
    CHECK(seen.plausibility < last);
    CHECK(seen.plausibility > 0);
    CHECK(seen.alignment->score > 0.9);
    last = seen.plausibility;
  }
  // A colour between two of the palette costs plausibility, and more the farther it is off.
  last = 2;
  for (const double share : {0.0, 0.1, 0.2, 0.3}) {
    Rgb colour;
    for (int c = 0; c < 3; ++c) {
      colour[c] = static_cast<std::uint8_t>(
          std::lround((1 - share) * rgb(Colour::kRed)[c] + share * rgb(Colour::kPurple)[c]));
    }
    const auto seen = inspector.inspect(disk(10, colour), "a large red circle");
    CHECK(seen.plausibility < last);
    CHECK(seen.alignment->score > 0.9);
    last = seen.plausibility;
  }
}

TEST_CASE("Inspector tells touching objects of one colour apart", "[world][inspector]") {
  const auto colour = Colour::kPurple;
  const auto seen =
      Inspector().inspect(picture({object(Shape::kCircle, colour, Size::kLarge, 20, 20),
                                   object(Shape::kCircle, colour, Size::kLarge, 39.5, 20),
                                   object(Shape::kCircle, colour, Size::kLarge, 29.5, 37)}),
                          "three large purple circles");
  CHECK((seen.groups == std::vector{Group{3, Size::kLarge, colour, Shape::kCircle}}));
  CHECK(seen.alignment->score > 0.9);
}

TEST_CASE("Inspector judges the background as well as the objects", "[world][inspector]") {
  const Inspector inspector;
  auto image = picture({kRedCircle, kBlueStar});
  double last = inspector.inspect(image).plausibility;
  for (int step = 0; step < 3; ++step) {  // every fourth row 12, 24, 36 levels darker
    for (std::int64_t y = 0; y < 64; y += 4) {
      for (std::int64_t i = 0; i < 3 * 64; ++i) {
        auto& value = image.at(y, 0)[i];
        value = static_cast<std::uint8_t>(value > 12 ? value - 12 : 0);
      }
    }
    const auto seen = inspector.inspect(image);
    CHECK(seen.plausibility < last - 0.01);
    CHECK(seen.implausibility[4][60].item<float>() > 0);
    CHECK(seen.caption == "a large red circle left of a small blue star");
    last = seen.plausibility;
  }
  CHECK(last < kFlawedBelow);
}

TEST_CASE("Inspector forgives differences up to its tolerance", "[world][inspector]") {
  auto image = picture({kRedCircle});
  auto engine = rahf::Randomness(1).engine("noise", 0);
  for (auto& value : image.pixels) {
    value = static_cast<std::uint8_t>(
        std::clamp<std::int64_t>(value + rahf::uniform_int(engine, 29) - 14, 0, 255));
  }
  CHECK(Inspector().inspect(image).plausibility < kFlawedBelow);
  InspectorOptions tolerant;
  tolerant.noise_tolerance = 16;
  CHECK(Inspector(tolerant).inspect(image).plausibility > 0.99);
}

TEST_CASE("Inspector finds nothing plausible in an empty picture", "[world][inspector]") {
  const auto seen = Inspector().inspect(picture({}), "a large red circle");
  CHECK(seen.objects.empty());
  CHECK(seen.plausibility == 0);
  CHECK(seen.alignment->score == 0);
}

TEST_CASE("Inspector looks at any picture", "[world][inspector]") {
  const Inspector inspector;
  auto engine = rahf::Randomness(2).engine("pixels", 0);
  for (const auto& [height, width] :
       std::vector<std::pair<int, int>>{{1, 1}, {1, 500}, {64, 64}, {31, 70}, {300, 200}}) {
    for (const int most : {1, 40, 256}) {  // black, dark, all colours
      Image image(height, width);
      for (auto& value : image.pixels) {
        value = static_cast<std::uint8_t>(rahf::uniform_int(engine, most));
      }
      const auto seen = inspector.inspect(image, "two small blue stars");
      CAPTURE(height, width, most);
      CHECK((seen.plausibility >= 0 && seen.plausibility < 0.5));
      CHECK((seen.alignment->score >= 0 && seen.alignment->score <= 1));
      for (const auto& map : {seen.implausibility, seen.alignment->misalignment}) {
        CHECK(map.sizes() == torch::IntArrayRef{height, width});
        CHECK(map.scalar_type() == torch::kFloat);
        CHECK(map.min().item<float>() >= 0);
        CHECK(map.max().item<float>() <= 1);
      }
    }
  }
  CHECK_THROWS_MATCHES(inspector.inspect(Image()), rahf::ShapeError, Says("empty picture"));
}

TEST_CASE("Inspector looks at pictures of other sizes", "[world][inspector]") {
  InspectorOptions options;
  options.side = GENERATE(32, 48, 96, 160);
  const Inspector inspector(options);
  const auto seen = inspector.inspect(picture({kRedCircle, kBlueStar}, options.side),
                                      "a large red circle above a small blue star");
  CHECK(seen.plausibility > 0.98);
  CHECK(seen.alignment->score > 0.99);
}

TEST_CASE("Inspector says the same on every thread", "[world][inspector]") {
  const Inspector inspector;
  const WorldOptions options;
  const rahf::Randomness random(3);
  constexpr int kPictures = 24;
  std::vector<WorldPicture> pictures;
  for (int i = 0; i < kPictures; ++i) pictures.push_back(draw_picture(options, random, i));
  std::vector<Inspection> seen(kPictures);
#pragma omp parallel for num_threads(4)
  for (int i = 0; i < kPictures; ++i) {
    seen[i] = inspector.inspect(pictures[i].image, pictures[i].prompt);
  }
  for (int i = 0; i < kPictures; ++i) {
    const auto again = inspector.inspect(pictures[i].image, pictures[i].prompt);
    CHECK(again.plausibility == seen[i].plausibility);
    CHECK(again.alignment->score == seen[i].alignment->score);
    CHECK(again.implausibility.equal(seen[i].implausibility));
    CHECK(again.alignment->misalignment.equal(seen[i].alignment->misalignment));
  }
}

TEST_CASE("Inspector marks where a flaw was planted", "[world][inspector]") {
  const Inspector inspector;
  const auto kind = static_cast<Flaw>(GENERATE(range(0, 6)));
  const Scene scene{{kRedCircle, kBlueStar}};
  auto engine = rahf::Randomness(4).engine("flaw", static_cast<std::int64_t>(kind));
  auto canvas = draw(scene, 64);
  apply(canvas, scene, {.kind = kind, .object = 0, .severity = 0.7}, engine);
  const auto image = canvas.image();
  const auto seen = inspector.inspect(image, "a large red circle above a small blue star");
  CAPTURE(name(kind));
  CHECK(seen.plausibility < kFlawedBelow);
  CHECK(seen.alignment->score > 0.8);
  const auto changed = changed_pixels(render(scene, 64), image);
  const auto* map = seen.implausibility.data_ptr<float>();
  double inside = 0, all = 0;
  for (std::size_t i = 0; i < changed.size(); ++i) {
    all += double(map[i]);
    if (changed[i]) inside += double(map[i]);
  }
  // Of a split, the moved half may be taken for where the object was.
  CHECK(inside / all > (kind == Flaw::kSplit ? 0.2 : 0.5));
}

TEST_CASE("InspectorOptions refuses values out of range", "[world][inspector]") {
  const auto refuses = [](auto change, const std::string& text) {
    InspectorOptions options;
    change(options);
    CHECK_THROWS_MATCHES(Inspector(options), rahf::ConfigError, Says(text));
  };
  refuses([](auto& o) { o.side = 31; }, "side must be in [32, 256], got 31");
  refuses([](auto& o) { o.noise_tolerance = -1; }, "noise-tolerance must be >= 0");
  refuses([](auto& o) { o.edge_tolerance = 1; }, "edge-tolerance must be in [0, 1)");
  refuses([](auto& o) { o.full_residual = 0; }, "full-residual must be > 0");
}
