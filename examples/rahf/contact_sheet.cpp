#include "contact_sheet.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "disturbances.h"
#include "rahf/core/draw/canvas.h"
#include "rahf/core/io/resize.h"
#include "rahf/core/random.h"
#include "rahf/reward/report/overlay.h"
#include "rahf/world/picture.h"

namespace rahf::program {
namespace {

using draw::Canvas;
using world::WorldPicture;

constexpr std::int64_t kColumns = 2;
constexpr std::int64_t kTile = 192, kGap = 8;        // of a picture's three views
constexpr std::int64_t kPadding = 16, kMargin = 20;  // in and around a card
constexpr std::int64_t kScale = 2;                   // of letters
constexpr std::int64_t kCardWidth = 3 * kTile + 2 * kGap + 2 * kPadding;
constexpr std::int64_t kTextWidth = kCardWidth - 2 * kPadding;
constexpr std::int64_t kHeadHeight = 84;
constexpr draw::Colour kTable{238, 239, 242};

/// A picture and what is wrong with it, in words.
struct Specimen {
  WorldPicture picture;
  std::string topic;
  bool plausibility_known = true;  ///< By its truth.
};

/// The first picture of a stream for which is_wanted() holds.
template <class IsWanted>
WorldPicture find(const world::WorldOptions& options, const Randomness& random, std::int64_t place,
                  IsWanted&& is_wanted) {
  constexpr std::int64_t kStream = 1 << 20;
  for (auto index = place * kStream;; ++index) {
    auto picture = draw_picture(options, random, index);
    if (is_wanted(picture.truth)) return picture;
  }
}

std::string in_words(world::Mismatch kind) {
  const std::string text(name(kind));
  if (kind == world::Mismatch::kMissing) return "a missing group";
  if (kind == world::Mismatch::kExtra) return "an extra object";
  return "wrong " + text;
}

Specimen specimen(std::int64_t side, const Randomness& random, std::int64_t place) {
  world::WorldOptions options{
      .size = side, .flawed_share = 0, .mismatched_share = 0, .annotators = 0};
  const auto any = [](const world::Truth&) { return true; };
  auto topic = place % (world::kNumFlaws + world::kNumMismatches + 3);
  if (topic-- == 0) return {find(options, random, place, any), "nothing wrong"};
  if (topic < world::kNumFlaws) {
    const auto kind = static_cast<world::Flaw>(topic);
    options.flawed_share = 1;
    auto picture = find(options, random, place, [&](const world::Truth& truth) {
      return truth.flaws.size() == 1 && truth.flaws[0].kind == kind;
    });
    char severity[32];
    std::snprintf(severity, sizeof(severity), ", severity %.2f", picture.truth.flaws[0].severity);
    return {std::move(picture), std::string(name(kind)) + severity};
  }
  topic -= world::kNumFlaws;
  if (topic < world::kNumMismatches) {
    const auto kind = static_cast<world::Mismatch>(topic);
    options.mismatched_share = 1;
    const auto is_wanted = [&](const world::Truth& truth) {
      return truth.mismatches == std::vector{kind};
    };
    return {find(options, random, place, is_wanted), in_words(kind)};
  }
  if (topic == world::kNumMismatches) {
    options.flawed_share = options.mismatched_share = 1;
    auto picture = find(options, random, place, [](const world::Truth& truth) {
      return truth.flaws.size() == 1 && truth.mismatches.size() == 1;
    });
    auto text = std::string(name(picture.truth.flaws[0].kind)) + ", and " +
                in_words(picture.truth.mismatches[0]);
    return {std::move(picture), std::move(text)};
  }
  auto picture = find(options, random, place, any);
  picture.image = with_grid(picture.image);
  return {std::move(picture), "a grid over everything", false};
}

/// The scene by which the inspector explains a picture.
Image explanation(const world::Inspection& seen, std::int64_t side) {
  world::Scene scene;
  for (const auto& object : seen.objects) {
    if (object.drawn) scene.objects.push_back(object.object);
  }
  return render(scene, side);
}

/// One specimen with all that is seen in it.
class Card {
 public:
  Card(const world::Inspector& inspector, Specimen specimen)
      : specimen_(std::move(specimen)),
        seen_(inspector.inspect(specimen_.picture.image, specimen_.picture.prompt)) {
    for (const auto word : seen_.alignment->words)
      missed_.push_back(word > world::kMisalignedAbove);
  }

  std::int64_t height() const {
    return 3 * kPadding + kTile +
           reward::prompt_height(kTextWidth, specimen_.picture.prompt, kScale) + kGap +
           reward::prompt_height(kTextWidth, sees(), kScale) + kGap +
           3 * reward::line_height(kScale);
  }

  void draw(Canvas& canvas, std::int64_t x, std::int64_t y, std::int64_t height) const {
    const auto& picture = specimen_.picture;
    const auto side = picture.image.height;
    canvas.rectangle(x, y, kCardWidth, height, reward::kPaper);
    canvas.frame(x, y, kCardWidth, height, reward::kTrack);
    x += kPadding;
    y += kPadding;
    const auto maps = reward::blend_maps(reward::paler(picture.image, 1), seen_.implausibility,
                                         seen_.alignment->misalignment);
    std::int64_t tile_x = x;
    for (const auto& view : std::array{picture.image, explanation(seen_, side), maps}) {
      canvas.image(tile_x, y, view, kTile / side);
      canvas.frame(tile_x, y, kTile, kTile, reward::kTrack);
      tile_x += kTile + kGap;
    }
    y += kTile + kPadding;
    y = reward::draw_prompt(canvas, x, y, kTextWidth, picture.prompt, missed_, kScale) + kGap;
    y = reward::draw_prompt(canvas, x, y, kTextWidth, sees(), {}, kScale) + kGap;
    canvas.text(x, y, "drawn with: " + specimen_.topic, reward::kFaintInk, kScale);
    y += reward::line_height(kScale);
    const std::array seen_scores = {seen_.plausibility, seen_.alignment->score};
    for (std::size_t i = 0; i < seen_scores.size(); ++i) {
      std::optional<double> truth = double(picture.truth.scores[i]);
      if (i == 0 && !specimen_.plausibility_known) truth.reset();
      reward::draw_score(canvas, x, y, kTextWidth, kScoreNames[i], seen_scores[i], truth, kScale);
      y += reward::line_height(kScale);
    }
  }

 private:
  std::string sees() const { return "seen: " + seen_.caption; }

  Specimen specimen_;
  world::Inspection seen_;
  std::vector<std::uint8_t> missed_;
};

}  // namespace

Image contact_sheet(const world::Inspector& inspector, std::int64_t count, std::uint64_t seed) {
  const Randomness random(seed);
  std::vector<Card> cards;
  for (std::int64_t i = 0; i < count; ++i) {
    cards.emplace_back(inspector, specimen(inspector.options().side, random, i));
  }
  std::vector<std::int64_t> row_heights((count + kColumns - 1) / kColumns);
  for (std::int64_t i = 0; i < count; ++i) {
    auto& height = row_heights[i / kColumns];
    height = std::max(height, cards[i].height());
  }
  std::int64_t height = kHeadHeight;
  for (const auto row : row_heights) height += row + kMargin;
  const auto columns = std::min(count, kColumns);
  const auto width = columns * (kCardWidth + kMargin) + kMargin;

  Canvas canvas(height, width, kTable);
  canvas.text(kMargin, kMargin, "What the closed world's inspector sees", reward::kInk, kScale + 1);
  const auto legend_y = kMargin + Canvas::text_height(kScale + 1) + kGap;
  const std::string views = "picture | its explanation | maps:  ";
  canvas.text(kMargin, legend_y, views, reward::kFaintInk, kScale);
  reward::draw_legend(canvas, kMargin + Canvas::text_width(views, kScale), legend_y, kScale);
  std::int64_t y = kHeadHeight;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto row = i / kColumns, column = i % kColumns;
    cards[i].draw(canvas, kMargin + column * (kCardWidth + kMargin), y, row_heights[row]);
    if (column == kColumns - 1) y += row_heights[row] + kMargin;
  }
  return canvas.picture();
}

}  // namespace rahf::program
