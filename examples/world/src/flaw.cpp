#include "rahf/world/flaw.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "draws.h"

namespace rahf::world {
namespace {

struct Vec {
  double x, y;
  Vec operator+(Vec o) const { return {x + o.x, y + o.y}; }
  Vec operator-(Vec o) const { return {x - o.x, y - o.y}; }
  Vec operator*(double s) const { return {x * s, y * s}; }
  double dot(Vec o) const { return x * o.x + y * o.y; }
  double length() const { return std::hypot(x, y); }
};

Vec towards(double radians) { return {std::cos(radians), std::sin(radians)}; }

/// Share of a pixel within an edge at signed distance `distance`.
double within(double distance) { return std::clamp(0.5 - distance, 0.0, 1.0); }

double distance_to_bar(Vec p, Vec from, Vec to, double half_width) {
  const Vec along = to - from;
  const double t = std::clamp((p - from).dot(along) / along.dot(along), 0.0, 1.0);
  return (p - from - along * t).length() - half_width;
}

/// One object on a canvas, in pixels.
class Brush {
 public:
  Brush(Canvas& canvas, const Scene& scene, const AppliedFlaw& flaw, std::mt19937_64& engine)
      : canvas_(canvas),
        scene_(scene),
        object_(scene.objects[flaw.object]),
        side_(static_cast<double>(canvas.size)),
        unit_(side_ / 64),
        radius_(object_.radius() * side_),
        centre_{object_.x * side_, object_.y * side_},
        severity_(flaw.severity),
        engine_(engine) {}

  void bite() {
    const auto way = towards(angle(engine_));
    const auto middle = edge(way) - way * (0.1 * radius_);
    const double reach = radius_ * (0.5 + 0.4 * severity_);
    for_each_pixel(middle, reach, [&](auto y, auto x, Vec p) {
      if (inside(p) > 0) canvas_.mix(y, x, kBackground, within((p - middle).length() - reach));
    });
  }

  void limb() {
    const double length = radius_ * (0.45 + 0.75 * severity_);
    const double half_width = 0.9 * unit_ + 0.09 * radius_;
    const auto tip_at = [&](Vec way) { return edge(way) + way * length; };
    const auto way = free_direction([&](Vec w) { return tip_at(w); }, half_width);
    const auto tip = tip_at(way);
    for_each_pixel(centre_, (tip - centre_).length() + half_width, [&](auto y, auto x, Vec p) {
      canvas_.mix(y, x, rgb(object_.colour), within(distance_to_bar(p, centre_, tip, half_width)));
    });
  }

  void split() {
    const double slide = radius_ * (0.3 + 0.5 * severity_);
    const double gap = unit_ + radius_ * 0.15 * severity_;
    const auto shift_of = [&](Vec cut) { return cut * slide + Vec{-cut.y, cut.x} * gap; };
    const auto cut = free_direction([&](Vec w) { return centre_ + shift_of(w); }, kReach * radius_);
    const Vec normal{-cut.y, cut.x}, shift = shift_of(cut);
    for_each_pixel(centre_, kReach * radius_ + shift.length(), [&](auto y, auto x, Vec p) {
      if (inside(p) > 0) std::copy(kBackground.begin(), kBackground.end(), canvas_.at(y, x));
      const Vec moved = p - shift;
      const double still = std::min(inside(p), within((p - centre_).dot(normal)));
      const double away = std::min(inside(moved), within(-(moved - centre_).dot(normal)));
      canvas_.mix(y, x, rgb(object_.colour), std::max(still, away));
    });
  }

  void smear() {
    const auto way = towards(angle(engine_));
    const auto middle = edge(way);
    const double reach = radius_ * (0.6 + 0.4 * severity_);
    const double drag = radius_ * (0.7 + 0.9 * severity_);
    const Canvas before = canvas_;
    for_each_pixel(middle, reach, [&](auto y, auto x, Vec p) {
      const int steps = static_cast<int>(std::ceil(drag / unit_));
      std::array<double, 3> mean{};
      for (int i = 0; i <= steps; ++i) {
        const auto q = p - way * (drag * i / steps);
        const auto* pixel = before.at(clip(q.y), clip(q.x));
        for (int c = 0; c < 3; ++c) mean[c] += double{pixel[c]} / (steps + 1);
      }
      Rgb colour;
      for (int c = 0; c < 3; ++c) colour[c] = static_cast<std::uint8_t>(std::lround(mean[c]));
      canvas_.mix(y, x, colour, within((p - middle).length() - reach));
    });
  }

  void noise() {
    const auto middle = centre_ + towards(angle(engine_)) * (radius_ * between(engine_, 0, 0.6));
    const double reach = radius_ * (0.4 + 0.4 * severity_);
    const auto grain = std::max<std::int64_t>(1, std::llround(unit_));
    const auto key = engine_();
    for_each_pixel(middle, reach, [&](auto y, auto x, Vec p) {
      if ((p - middle).length() > reach) return;
      // All pixels of one grain draw the same colour.
      std::minstd_rand grain_engine(static_cast<std::uint32_t>(
          key ^ static_cast<std::uint64_t>((y / grain) * 8191 + (x / grain) * 131 + 7)));
      grain_engine.discard(3);
      Rgb colour;
      for (auto& value : colour) value = static_cast<std::uint8_t>(grain_engine() >> 13);
      canvas_.mix(y, x, colour, 1);
    });
  }

  void bleed() {
    Colour other;
    do {
      other = static_cast<Colour>(uniform_int(engine_, kNumColours));
    } while (other == object_.colour);
    const auto middle = edge(towards(angle(engine_)));
    const double reach = radius_ * (0.5 + 0.5 * severity_);
    for_each_pixel(middle, reach, [&](auto y, auto x, Vec p) {
      const double share = 1.8 * (1 - (p - middle).length() / reach);
      canvas_.mix(y, x, rgb(other), std::clamp(share, 0.0, 0.95));
    });
  }

 private:
  double inside(Vec p) const {
    return coverage(object_.shape, p.x - centre_.x, p.y - centre_.y, radius_);
  }

  std::int64_t clip(double place) const {
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(place)), 0,
                                    canvas_.size - 1);
  }

  /// Where the ray from the centre leaves the object.
  Vec edge(Vec way) const {
    double low = 0, high = kReach * radius_;
    for (int i = 0; i < 12; ++i) {
      const double middle = (low + high) / 2;
      const bool in = signed_distance(object_.shape, way.x * middle, way.y * middle, radius_) < 0;
      (in ? low : high) = middle;
    }
    return centre_ + way * low;
  }

  /// A direction for which place_of(direction) lies in the picture and clear of other objects, if
  /// one is found.
  template <class PlaceOf>
  Vec free_direction(PlaceOf&& place_of, double reach) {
    constexpr int kTries = 24;
    Vec way{};
    for (int i = 0; i < kTries; ++i) {
      way = towards(angle(engine_));
      const Vec place = place_of(way);
      bool is_free =
          std::min(place.x, place.y) >= reach && std::max(place.x, place.y) <= side_ - reach;
      for (const auto& other : scene_.objects) {
        const Vec middle{other.x * side_, other.y * side_};
        is_free = is_free && (&other == &object_ ||
                              (place - middle).length() >= reach + kReach * other.radius() * side_);
      }
      if (is_free) break;
    }
    return way;
  }

  /// Calls visit(y, x, the pixel's middle) for the pixels around a circle.
  template <class Visit>
  void for_each_pixel(Vec middle, double reach, Visit&& visit) const {
    for (auto y = clip(middle.y - reach - 1); y <= clip(middle.y + reach + 1); ++y) {
      for (auto x = clip(middle.x - reach - 1); x <= clip(middle.x + reach + 1); ++x) {
        visit(y, x, Vec{static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5});
      }
    }
  }

  Canvas& canvas_;
  const Scene& scene_;
  const Object& object_;
  double side_;
  double unit_;  ///< Pixels per pixel of a 64 x 64 picture.
  double radius_;
  Vec centre_;
  double severity_;
  std::mt19937_64& engine_;
};

std::int64_t count_marked(const Mask& mask) {
  return static_cast<std::int64_t>(mask.size()) - std::count(mask.begin(), mask.end(), 0);
}

/// One flaw on an undamaged object, or a second one on the only object.
AppliedFlaw random_flaw(const Scene& scene, const std::vector<AppliedFlaw>& earlier,
                        std::mt19937_64& engine) {
  AppliedFlaw flaw;
  const auto num_objects = static_cast<std::int64_t>(scene.objects.size());
  const auto clashes = [&](const AppliedFlaw& other) {
    // A split draws the whole object anew, so it cannot come second.
    return num_objects > 1 ? other.object == flaw.object
                           : other.kind == flaw.kind || flaw.kind == Flaw::kSplit;
  };
  do {
    flaw.kind = static_cast<Flaw>(uniform_int(engine, kNumFlaws));
    flaw.object = uniform_int(engine, num_objects);
  } while (std::any_of(earlier.begin(), earlier.end(), clashes));
  flaw.severity = between(engine, kMinSeverity, 1);
  return flaw;
}

}  // namespace

std::string_view name(Flaw kind) {
  constexpr std::array<std::string_view, kNumFlaws> kNames = {"bite",  "limb",  "split",
                                                              "smear", "noise", "bleed"};
  return kNames[static_cast<std::size_t>(kind)];
}

Mask changed_pixels(const Image& before, const Image& after) {
  Mask mask(before.height * before.width);
  for (std::size_t i = 0; i < mask.size(); ++i) {
    for (std::size_t c = 3 * i; c < 3 * i + 3; ++c) {
      if (std::abs(int{before.pixels[c]} - int{after.pixels[c]}) >= kVisibleChange) mask[i] = 255;
    }
  }
  return mask;
}

void apply(Canvas& canvas, const Scene& scene, const AppliedFlaw& flaw, std::mt19937_64& engine) {
  Brush brush(canvas, scene, flaw, engine);
  switch (flaw.kind) {
    case Flaw::kBite:
      return brush.bite();
    case Flaw::kLimb:
      return brush.limb();
    case Flaw::kSplit:
      return brush.split();
    case Flaw::kSmear:
      return brush.smear();
    case Flaw::kNoise:
      return brush.noise();
    case Flaw::kBleed:
      return brush.bleed();
  }
}

Damaged damage(const Scene& scene, std::int64_t size, std::int64_t num_flaws,
               std::mt19937_64& engine) {
  Canvas canvas = draw(scene, size);
  const Image clean = canvas.image();
  const double scale = static_cast<double>(size) / 64;
  Damaged damaged;
  damaged.image = clean;
  while (static_cast<std::int64_t>(damaged.flaws.size()) < num_flaws) {
    const auto flaw = random_flaw(scene, damaged.flaws, engine);
    Canvas attempt = canvas;
    apply(attempt, scene, flaw, engine);
    auto image = attempt.image();
    const auto changed = count_marked(changed_pixels(damaged.image, image));
    if (static_cast<double>(changed) < kMinChanged * scale * scale) continue;
    canvas = std::move(attempt);
    damaged.image = std::move(image);
    damaged.flaws.push_back(flaw);
    damaged.plausibility *= 1 - 0.8 * flaw.severity;
  }
  damaged.mask = changed_pixels(clean, damaged.image);
  return damaged;
}

}  // namespace rahf::world
