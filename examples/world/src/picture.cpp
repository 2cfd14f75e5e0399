#include "rahf/world/picture.h"

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>

#include "draws.h"
#include "rahf/core/error.h"

namespace rahf::world {
namespace {

void require_share(const char* name, double value) {
  if (!(value >= 0 && value <= 1)) {
    throw ConfigError(c10::str("WorldOptions: ", name, " must be in [0, 1], got ", value));
  }
}

void require_range(const char* name, std::int64_t value, std::int64_t low, std::size_t high) {
  if (value < low || value > static_cast<std::int64_t>(high)) {
    throw ConfigError(
        c10::str("WorldOptions: ", name, " must be in [", low, ", ", high, "], got ", value));
  }
}

Depiction random_depiction(const WorldPicture& picture, const WorldOptions& options,
                           std::mt19937_64& engine) {
  constexpr int kTries = 10;
  const bool mismatched = happens(engine, options.mismatched_share);
  for (;;) {
    std::vector<Mismatch> kinds;
    if (mismatched) kinds = random_mismatches(picture.asked, options.two_group_share, engine);
    // Tried again with the same kinds first, so that those that often fail are not rarer for it.
    for (int i = 0; i < kTries; ++i) {
      if (auto depiction = depict(picture.asked, kinds, engine)) return std::move(*depiction);
    }
  }
}

std::vector<Annotation> ask_people(const WorldOptions& options, const Truth& truth,
                                   std::mt19937_64& engine) {
  auto crowd = annotators();
  std::vector<Annotation> all;
  for (std::int64_t i = 0; i < options.annotators; ++i) {
    const auto who = uniform_int(engine, static_cast<std::int64_t>(crowd.size()));
    all.push_back(annotate(crowd[who], truth, options.size, engine));
    crowd.erase(crowd.begin() + who);
  }
  return all;
}

}  // namespace

void WorldOptions::validate() const {
  require_range("size", size, 32, 256);
  require_share("flawed-share", flawed_share);
  require_share("mismatched-share", mismatched_share);
  require_share("two-group-share", two_group_share);
  require_range("annotators", annotators, 0, world::annotators().size());
}

WorldPicture draw_picture(const WorldOptions& options, const Randomness& random,
                          std::int64_t index) {
  auto engine = random.engine("picture", index);
  return draw_picture_of(random_description(engine, options.two_group_share), options, engine);
}

WorldPicture draw_picture_of(const Description& asked, const WorldOptions& options,
                             std::mt19937_64& engine) {
  constexpr double kSecondFlaw = 0.3;
  WorldPicture picture;
  picture.asked = asked;
  picture.prompt = caption(picture.asked);

  auto depiction = random_depiction(picture, options, engine);
  picture.shown = std::move(depiction.scene);

  std::int64_t num_flaws = 0;
  if (happens(engine, options.flawed_share)) num_flaws = happens(engine, kSecondFlaw) ? 2 : 1;
  auto damaged = damage(picture.shown, options.size, num_flaws, engine);
  picture.image = std::move(damaged.image);

  auto& truth = picture.truth;
  truth.implausibility = std::move(damaged.mask);
  truth.flaws = std::move(damaged.flaws);
  truth.misalignment.resize(options.size * options.size);
  for (std::size_t i = 0; i < picture.shown.objects.size(); ++i) {
    if (depiction.concerned[i]) mark(truth.misalignment, options.size, picture.shown.objects[i]);
  }
  truth.words = std::move(depiction.words);
  truth.mismatches = std::move(depiction.mismatches);
  const double beauty = aesthetics(picture.shown);
  truth.scores = {static_cast<float>(damaged.plausibility), static_cast<float>(depiction.alignment),
                  static_cast<float>(beauty),
                  static_cast<float>(overall(damaged.plausibility, depiction.alignment, beauty))};
  picture.annotations = ask_people(options, truth, engine);
  return picture;
}

}  // namespace rahf::world
