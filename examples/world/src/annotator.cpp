#include "rahf/world/annotator.h"

#include <algorithm>
#include <cmath>

#include "draws.h"

namespace rahf::world {
namespace {

constexpr std::int64_t kNumAnnotators = 27;
constexpr std::uint64_t kCrowdSeed = 27;

/// Standard deviation of a score before rounding, as a fraction of the scale.
constexpr std::array<double, 4> kScoreNoise = {0.10, 0.13, 0.055, 0.105};

/// Standard deviation of a click, as a fraction of the side.
constexpr double kJitter = 0.8 / 64;
constexpr double kClickRadius = 1.0 / 20;
/// Share of a region that a person leaves without clicks around.
constexpr double kUncovered = 0.12;
constexpr int kPlacesConsidered = 4;
constexpr double kMissedClick = 0.1;
constexpr double kFalseClick = 0.003;  ///< Per picture and kind.
constexpr double kMissedWord = 0.15;
constexpr double kFalseWord = 0.006;

using Points = std::vector<std::array<double, 2>>;

/// Clicks on places of the region that no earlier click covers.
Points click(const Annotator& annotator, const Mask& region, std::int64_t size,
             std::mt19937_64& engine) {
  const double side = static_cast<double>(size);
  const double reach = kClickRadius * side;
  const auto clicked = [&](double x, double y) {
    const double jitter = annotator.care * kJitter * side;
    const double last = side - 1e-3;
    // Tenths of a pixel are all that a pointer gives.
    const auto place = [&](double at) {
      return std::floor(10 * std::clamp(at + jitter * normal(engine), 0.0, last)) / 10;
    };
    const double px = place(x);
    return std::array{px, place(y)};
  };
  std::vector<std::array<double, 2>> open;
  for (std::int64_t i = 0; i < size * size; ++i) {
    if (region[i] == 0) continue;
    open.push_back({static_cast<double>(i % size) + 0.5, static_cast<double>(i / size) + 0.5});
  }
  const auto hidden_by = [&](const std::array<double, 2>& place) {
    return [place, reach](const std::array<double, 2>& other) {
      return std::hypot(other[0] - place[0], other[1] - place[1]) <= reach;
    };
  };
  const auto enough = static_cast<std::size_t>(kUncovered * static_cast<double>(open.size()));
  Points points;
  while (open.size() > enough) {
    // Of some places that come to mind, the one in the thick of what is left.
    std::array<double, 2> best{};
    std::int64_t most = 0;
    for (int i = 0; i < kPlacesConsidered; ++i) {
      const auto place = pick(engine, open);
      const auto hides = std::count_if(open.begin(), open.end(), hidden_by(place));
      if (hides <= most) continue;
      best = place;
      most = hides;
    }
    std::erase_if(open, hidden_by(best));
    if (!happens(engine, kMissedClick * annotator.care))
      points.push_back(clicked(best[0], best[1]));
  }
  if (happens(engine, kFalseClick * annotator.care)) {
    const double x = side * uniform(engine);
    points.push_back(clicked(x, side * uniform(engine)));
  }
  return points;
}

}  // namespace

const std::vector<Annotator>& annotators() {
  static const std::vector<Annotator> crowd = [] {
    std::vector<Annotator> made;
    for (std::int64_t i = 0; i < kNumAnnotators; ++i) {
      auto engine = Randomness(kCrowdSeed).engine("annotator", i);
      Annotator annotator;
      annotator.name = std::string(i < 10 ? "a0" : "a") + std::to_string(i);
      annotator.bias = 0.03 * normal(engine);
      annotator.scale = between(engine, 0.85, 1.1);
      annotator.care = between(engine, 0.6, 1.4);
      made.push_back(annotator);
    }
    return made;
  }();
  return crowd;
}

Annotation annotate(const Annotator& annotator, const Truth& truth, std::int64_t size,
                    std::mt19937_64& engine) {
  Annotation said;
  said.annotator = annotator.name;
  said.implausible_points = click(annotator, truth.implausibility, size, engine);
  said.misaligned_points = click(annotator, truth.misalignment, size, engine);
  for (std::size_t i = 0; i < truth.words.size(); ++i) {
    const bool wrong = truth.words[i] != WordError::kNone;
    const double error = annotator.care * (wrong ? kMissedWord : kFalseWord);
    if (happens(engine, error) != wrong) {
      said.misaligned_words.push_back(static_cast<std::int64_t>(i));
    }
  }
  for (std::size_t k = 0; k < said.scores.size(); ++k) {
    const double felt = 0.5 + annotator.scale * (truth.scores[k] - 0.5) + annotator.bias +
                        annotator.care * kScoreNoise[k] * normal(engine);
    said.scores[k] = static_cast<int>(1 + std::clamp(std::lround(4 * felt), 0L, 4L));
  }
  return said;
}

}  // namespace rahf::world
