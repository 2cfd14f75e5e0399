#include "explain.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace rahf::world {
namespace {

using Colours = std::array<double, 3>;

constexpr std::int8_t kNone = -1;
/// A pixel is taken for part of an object if it is this far from the background (RGB distance).
constexpr double kForeground = 60;
/// An object is drawn from this form on.
constexpr double kFormDrawn = 0.25;
/// The same for what touches an object already drawn: likely a part of that one.
constexpr double kFormBeside = 0.6;
/// Objects of a scene do not overlap; what overlaps one already drawn by more than this part of
/// itself is a fault of that one.
constexpr double kMostOverlap = 0.1;
/// A piece is taken for an undamaged object if its form is at least this, and no larger part of
/// it than kMostSurplus lies outside.
constexpr double kFormUndamaged = 0.9;
constexpr double kMostSurplus = 0.12;
/// Smallest pieces looked at, in parts of a picture.
constexpr double kSmallestPiece = 10.0 / 4096;
/// Smaller pieces are no whole objects: they are looked at when the larger ones are explained.
constexpr double kSmallestObject = 32.0 / 4096;
constexpr std::size_t kMostPieces = 12;
constexpr int kMostRounds = 4;

Colours to_colours(const std::uint8_t* pixel) {
  return {double(pixel[0]), double(pixel[1]), double(pixel[2])};
}
Colours to_colours(const Rgb& colour) { return to_colours(colour.data()); }

double dot(const Colours& a, const Colours& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
Colours minus(const Colours& a, const Colours& b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}
double distance(const Colours& a, const Colours& b) {
  const auto difference = minus(a, b);
  return std::sqrt(dot(difference, difference));
}

/// Mean of the pixels within `reach` of `start`; their number in `count`.
Colours mean_near(const Image& image, const Colours& start, double reach, std::int64_t& count) {
  Colours sum{};
  count = 0;
  for (std::int64_t i = 0; i < image.height * image.width; ++i) {
    const auto pixel = to_colours(&image.pixels[3 * i]);
    if (distance(pixel, start) > reach) continue;
    for (int c = 0; c < 3; ++c) sum[c] += pixel[c];
    ++count;
  }
  if (count == 0) return start;
  for (auto& value : sum) value /= static_cast<double>(count);
  return sum;
}

/// The most frequent colour, but the world's own background where there is enough of it.
Colours estimate_background(const Image& image) {
  constexpr double kNear = 60, kClose = 30, kEnough = 0.15;
  std::int64_t count = 0;
  auto start = mean_near(image, to_colours(kBackground), kNear, count);
  if (static_cast<double>(count) < kEnough * static_cast<double>(image.height * image.width)) {
    std::vector<std::int32_t> cells(512);
    for (std::size_t i = 0; i < image.pixels.size(); i += 3) {
      ++cells[(image.pixels[i] >> 5) * 64 + (image.pixels[i + 1] >> 5) * 8 +
              (image.pixels[i + 2] >> 5)];
    }
    const auto mode = std::max_element(cells.begin(), cells.end()) - cells.begin();
    start = {double(mode / 64) * 32 + 16, double(mode / 8 % 8) * 32 + 16,
             double(mode % 8) * 32 + 16};
  }
  return mean_near(image, start, kClose, count);
}

/// One picture on its way to an explanation.
class Search {
 public:
  Search(const Image& image, const ShapeFitter& fitter)
      : image_(image),
        fitter_(fitter),
        side_(image.height),
        area_(static_cast<double>(side_ * side_)),
        background_(estimate_background(image)),
        labels_(side_ * side_, kNone),
        open_(side_ * side_),
        owner_(side_ * side_, kNone) {
    for (std::int64_t i = 0; i < side_ * side_; ++i) labels_[i] = label(i);
    std::transform(labels_.begin(), labels_.end(), open_.begin(),
                   [](std::int8_t value) { return value != kNone; });
  }

  Explanation run() && {
    for (int round = 0; round < kMostRounds; ++round) {
      if (!explain_pieces(round)) break;
    }
    merge_blobs();
    Explanation found;
    for (int c = 0; c < 3; ++c) found.background[c] = std::uint8_t(std::lround(background_[c]));
    found.ideal = Canvas(side_);
    for (const auto& seen : objects_) {
      if (seen.drawn) draw(found.ideal, seen.object);
    }
    found.objects = std::move(objects_);
    std::stable_sort(found.objects.begin(), found.objects.end(), [](const auto& a, const auto& b) {
      return a.pixels.size() > b.pixels.size();
    });
    return found;
  }

 private:
  using Piece = std::vector<std::int32_t>;

  /// A piece and the ideal object that explains it best.
  struct Candidate {
    Piece piece;
    SeenObject seen;
    double gain;
  };

  /// The palette's colour that, mixed with the background, comes nearest to a pixel.
  std::int8_t label(std::int64_t i) const {
    constexpr double kLeastShare = 0.45;
    const auto pixel = minus(to_colours(&image_.pixels[3 * i]), background_);
    if (dot(pixel, pixel) < kForeground * kForeground) return kNone;
    std::int8_t best = kNone;
    double nearest = 1e30;
    for (std::int8_t c = 0; c < kNumColours; ++c) {
      const auto way = minus(to_colours(rgb(static_cast<Colour>(c))), background_);
      const double share = std::clamp(dot(pixel, way) / dot(way, way), kLeastShare, 1.0);
      const double off = distance(pixel, {share * way[0], share * way[1], share * way[2]});
      if (off >= nearest) continue;
      nearest = off;
      best = c;
    }
    return best;
  }

  /// The connected pieces of one colour among the open pixels, largest first.
  std::vector<Piece> open_pieces() const {
    std::vector<Piece> pieces;
    std::vector<std::uint8_t> visited(labels_.size());
    Piece stack;
    for (std::int32_t seed = 0; seed < static_cast<std::int32_t>(open_.size()); ++seed) {
      if (!open_[seed] || visited[seed]) continue;
      Piece piece;
      stack.push_back(seed);
      visited[seed] = 1;
      while (!stack.empty()) {
        const auto i = stack.back();
        stack.pop_back();
        piece.push_back(i);
        for_each_near(i, 1, [&](std::int32_t j) {
          if (!open_[j] || visited[j] || labels_[j] != labels_[i]) return;
          visited[j] = 1;
          stack.push_back(j);
        });
      }
      if (static_cast<double>(piece.size()) >= kSmallestPiece * area_) {
        pieces.push_back(std::move(piece));
      }
    }
    std::stable_sort(pieces.begin(), pieces.end(),
                     [](const auto& a, const auto& b) { return a.size() > b.size(); });
    if (pieces.size() > kMostPieces) pieces.resize(kMostPieces);
    return pieces;
  }

  template <class Visit>
  void for_each_near(std::int32_t i, std::int64_t reach, Visit&& visit) const {
    const auto y = i / side_, x = i % side_;
    for (auto v = std::max<std::int64_t>(0, y - reach); v <= std::min(side_ - 1, y + reach); ++v) {
      for (auto u = std::max<std::int64_t>(0, x - reach); u <= std::min(side_ - 1, x + reach);
           ++u) {
        visit(static_cast<std::int32_t>(v * side_ + u));
      }
    }
  }

  /// How much of the colour each pixel seems to hold; pixels of other colours and of objects
  /// already found say little.
  ColourShares shares_of(std::int8_t colour) const {
    constexpr float kOtherColour = 0.35F, kTaken = 0.3F;
    ColourShares shares(side_);
    const auto way = minus(to_colours(rgb(static_cast<Colour>(colour))), background_);
    for (std::int64_t i = 0; i < side_ * side_; ++i) {
      const auto pixel = minus(to_colours(&image_.pixels[3 * i]), background_);
      const auto share = static_cast<float>(std::clamp(dot(pixel, way) / dot(way, way), 0.0, 1.0));
      if (labels_[i] == kNone) {
        shares.values[i] = share;
      } else if (!open_[i]) {
        shares.values[i] = kTaken;
      } else {
        shares.values[i] = labels_[i] == colour ? share : kOtherColour;
      }
    }
    shares.take_slopes();
    return shares;
  }

  Point middle_of(const Piece& piece) const {
    Point sum{0, 0};
    for (const auto i : piece) {
      sum.x += static_cast<double>(i % side_) + 0.5;
      sum.y += static_cast<double>(i / side_) + 0.5;
    }
    const auto count = static_cast<double>(piece.size());
    return {sum.x / count, sum.y / count};
  }

  /// Where the centre of a damaged object may lie.
  std::array<Point, 2> box_of(const Piece& piece) const {
    const double beyond = 3 * static_cast<double>(side_) / 64;
    std::array<Point, 2> box = {{{1e9, 1e9}, {-1e9, -1e9}}};
    for (const auto i : piece) {
      const auto x = static_cast<double>(i % side_), y = static_cast<double>(i / side_);
      box[0] = {std::min(box[0].x, x - beyond), std::min(box[0].y, y - beyond)};
      box[1] = {std::max(box[1].x, x + beyond), std::max(box[1].y, y + beyond)};
    }
    return box;
  }

  struct Deepest {
    Point place;
    std::int32_t depth;  ///< 1 at the edge.
  };

  /// The pixel of a piece that is farthest from its edge (city-block distance).
  Deepest deepest_of(const Piece& piece) const {
    constexpr std::int32_t kFar = 1 << 20;
    std::vector<std::int32_t> depth(side_ * side_);
    for (const auto i : piece) depth[i] = kFar;
    const auto at = [&](std::int64_t y, std::int64_t x) {
      return y < 0 || x < 0 || y >= side_ || x >= side_ ? 0 : depth[y * side_ + x];
    };
    for (std::int64_t i = 0; i < side_ * side_; ++i) {
      const auto y = i / side_, x = i % side_;
      depth[i] = std::min(depth[i], 1 + std::min(at(y - 1, x), at(y, x - 1)));
    }
    for (std::int64_t i = side_ * side_ - 1; i >= 0; --i) {
      const auto y = i / side_, x = i % side_;
      depth[i] = std::min(depth[i], 1 + std::min(at(y + 1, x), at(y, x + 1)));
    }
    const auto i = std::max_element(depth.begin(), depth.end()) - depth.begin();
    return {{static_cast<double>(i % side_) + 0.5, static_cast<double>(i / side_) + 0.5}, depth[i]};
  }

  /// Explains the open pieces: first those that are undamaged objects, then those with most to
  /// gain. What is left of them stays open for the next round.
  /// @return true if there were any
  bool explain_pieces(int round) {
    auto pieces = open_pieces();
    std::vector<Candidate> damaged;
    for (auto& piece : pieces) {
      const bool is_scrap = static_cast<double>(piece.size()) < kSmallestObject * area_;
      if (is_scrap && round == 0) continue;
      if (is_scrap && lies_beside(piece, round)) {
        for (const auto i : piece) open_[i] = false;
        continue;
      }
      const auto fits = fitter_.fit(shares_of(labels_[piece.front()]), middle_of(piece));
      auto seen = judge(fits, labels_[piece.front()]);
      const bool undamaged =
          seen.form >= kFormUndamaged && surplus(piece, seen.object) <= kMostSurplus;
      Candidate candidate{std::move(piece), std::move(seen), 0};
      if (undamaged) {
        settle(candidate, round);
      } else {
        damaged.push_back(std::move(candidate));
      }
    }
    for (auto& [piece, seen, gain] : damaged) {
      const auto colour = labels_[piece.front()];
      const auto [top_left, bottom_right] = box_of(piece);
      const auto fits =
          fitter_.search(shares_of(colour), top_left, bottom_right, deepest_of(piece).place);
      seen = judge(fits, colour);
      gain = fits[0].gain;
    }
    std::stable_sort(damaged.begin(), damaged.end(),
                     [](const auto& a, const auto& b) { return a.gain > b.gain; });
    for (auto& candidate : damaged) settle(candidate, round);
    return !pieces.empty();
  }

  /// Draws the object, or notes a blob, or leaves the piece unexplained.
  void settle(Candidate& candidate, int round) {
    auto& [piece, seen, gain] = candidate;
    const auto still_open =
        std::count_if(piece.begin(), piece.end(), [&](std::int32_t i) { return open_[i] != 0; });
    if (2 * still_open < std::ssize(piece)) return;  // explained by another since

    const auto colour = static_cast<std::int8_t>(seen.object.colour);
    const auto footprint = pixels_within(seen.object, 0.5);
    const bool beside = lies_beside(piece, round), overlaps = share_taken(footprint) > kMostOverlap;
    if (!overlaps && seen.form >= (beside ? kFormBeside : kFormDrawn)) {
      for (const auto i : pixels_within(seen.object, 1.5)) {
        if (labels_[i] == colour) open_[i] = false;
      }
      for (const auto i : footprint) owner_[i] = colour;
      seen.drawn = true;
      seen.pixels = footprint;
      objects_.push_back(std::move(seen));
      return;
    }
    for (const auto i : piece) open_[i] = false;
    // A thin line is no object.
    if (beside || overlaps || deepest_of(piece).depth < 2) return;
    seen.pixels = std::move(piece);
    objects_.push_back(std::move(seen));
  }

  /// Blobs of one colour that are nearer to each other than a small object is wide become one.
  void merge_blobs() {
    const double near = 2 * radius_of(Size::kSmall) * static_cast<double>(side_);
    for (std::size_t i = 0; i < objects_.size(); ++i) {
      for (std::size_t j = i + 1; j < objects_.size();) {
        auto &a = objects_[i], &b = objects_[j];
        const auto middle_a = middle_of(a.pixels), middle_b = middle_of(b.pixels);
        const bool one = !a.drawn && !b.drawn && a.object.colour == b.object.colour &&
                         std::hypot(middle_a.x - middle_b.x, middle_a.y - middle_b.y) < near;
        if (!one) {
          ++j;
          continue;
        }
        a.pixels.insert(a.pixels.end(), b.pixels.begin(), b.pixels.end());
        objects_.erase(objects_.begin() + static_cast<std::ptrdiff_t>(j));
      }
    }
  }

  /// Part of a piece that lies clearly outside an object.
  double surplus(const Piece& piece, const Object& object) const {
    std::vector<std::uint8_t> inside(labels_.size());
    for (const auto i : pixels_within(object, 1)) inside[i] = 1;
    const auto outside =
        std::count_if(piece.begin(), piece.end(), [&](std::int32_t i) { return !inside[i]; });
    return static_cast<double>(outside) / static_cast<double>(piece.size());
  }

  /// Part of the pixels that drawn objects cover.
  double share_taken(const Piece& pixels) const {
    const auto taken = std::count_if(pixels.begin(), pixels.end(),
                                     [&](std::int32_t i) { return owner_[i] != kNone; });
    return pixels.empty() ? 1 : static_cast<double>(taken) / static_cast<double>(pixels.size());
  }

  /// A piece touches a drawn object or, being left over from an earlier round, lies near one of
  /// its colour.
  bool lies_beside(const Piece& piece, int round) const {
    const std::int64_t near = round > 0 ? 3 * side_ / 64 : 0;
    bool beside = false;
    for (const auto i : piece) {
      for_each_near(i, 1, [&](std::int32_t j) { beside |= owner_[j] != kNone; });
      for_each_near(i, near, [&](std::int32_t j) { beside |= owner_[j] == labels_[i]; });
    }
    return beside;
  }

  /// Pixels whose middles lie inside an object or at most `beyond` pixels outside.
  Piece pixels_within(const Object& object, double beyond) const {
    const double side = static_cast<double>(side_), radius = object.radius() * side;
    const double reach = kReach * radius + beyond;
    Piece pixels;
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(labels_.size()); ++i) {
      const double dx = static_cast<double>(i % side_) + 0.5 - object.x * side;
      const double dy = static_cast<double>(i / side_) + 0.5 - object.y * side;
      if (std::abs(dx) > reach || std::abs(dy) > reach) continue;
      if (signed_distance(object.shape, dx, dy, radius) < beyond) pixels.push_back(i);
    }
    return pixels;
  }

  SeenObject judge(const Fits& fits, std::int8_t colour) const {
    SeenObject seen;
    const auto& best = fits[0];
    const double side = static_cast<double>(side_);
    seen.object = {best.shape,    static_cast<Colour>(colour),
                   best.size,     best.x / side,
                   best.y / side, Object::kExtra};
    seen.form = std::clamp(best.form, 0.0, 1.0);
    // The worse the best fit, the less certain that the next ones are wrong.
    const double doubt = 0.02 + 0.03 * (1 - seen.form);
    const double own = best.gain / std::max(best.form, 0.1);
    double sum = 0;
    for (const auto& fit : fits) {
      const double belief = std::exp((fit.gain - best.gain) / (own * doubt));
      seen.shapes[static_cast<std::size_t>(fit.shape)] += belief;
      seen.sizes[static_cast<std::size_t>(fit.size)] += belief;
      sum += belief;
    }
    for (auto& share : seen.shapes) share /= sum;
    for (auto& share : seen.sizes) share /= sum;
    return seen;
  }

  const Image& image_;
  const ShapeFitter& fitter_;
  std::int64_t side_;
  double area_;
  Colours background_;
  std::vector<std::int8_t> labels_;  ///< A Colour per pixel, or kNone.
  std::vector<std::uint8_t> open_;   ///< Labelled and not yet explained.
  std::vector<std::int8_t> owner_;   ///< The colour of the drawn object there, or kNone.
  std::vector<SeenObject> objects_;
};

}  // namespace

Explanation Explainer::explain(const Image& image) const { return Search(image, fitter_).run(); }

}  // namespace rahf::world
