#include "rahf/world/mismatch.h"

#include <algorithm>
#include <array>

#include "draws.h"

namespace rahf::world {
namespace {

/// A value of an enum with `count` values for which allowed() holds; at least one must.
template <class E, class Allowed>
E draw_other(std::mt19937_64& engine, std::int64_t count, Allowed&& allowed) {
  E value;
  do {
    value = static_cast<E>(uniform_int(engine, count));
  } while (!allowed(value));
  return value;
}

bool names_colour(const Description& description, Colour colour) {
  return description.first.colour == colour ||
         (description.second && description.second->colour == colour);
}

bool needs_two_groups(Mismatch kind) {
  return kind == Mismatch::kRelation || kind == Mismatch::kMissing;
}

/// Two kinds that do not go together: the groups of a picture in which one is missing have no
/// relation, and where a colour is new one cannot tell which group it stands for.
bool clash(Mismatch one, Mismatch other) {
  return one == other ||
         (one == Mismatch::kMissing && (other == Mismatch::kRelation ||
                                        other == Mismatch::kColour || other == Mismatch::kExtra));
}

/// A description on its way from what is asked for to what is shown.
class Change {
 public:
  Change(const Description& asked, const std::vector<Mismatch>& kinds, std::mt19937_64& engine)
      : asked_(asked), shown_(asked), engine_(engine) {
    for (const auto& word : caption_words(asked)) roles_.push_back({word.role, word.group});
    words_.resize(roles_.size(), WordError::kNone);
    if (std::find(kinds.begin(), kinds.end(), Mismatch::kMissing) != kinds.end()) {
      missing_ = uniform_int(engine, 2);
    }
    for (const auto kind : kinds) apply(kind);
  }

  std::optional<Depiction> depict(const std::vector<Mismatch>& kinds) && {
    auto scene = lay_out(shown_, engine_, extra_);
    if (!scene) return {};
    if (shown_.relation != asked_.relation && relation_offset(*scene, asked_.relation) > 0)
      return {};
    std::vector<bool> concerned;
    for (const auto& object : scene->objects) {
      concerned.push_back(object.group == Object::kExtra || concerned_[object.group]);
    }
    return Depiction{std::move(*scene), kinds, std::move(words_), std::move(concerned), alignment_};
  }

 private:
  struct RoleOfGroup {
    WordRole role;
    std::int64_t group;
  };

  void apply(Mismatch kind) {
    double lost = penalty(kind);
    if (kind == Mismatch::kRelation) {
      shown_.relation = draw_other<Relation>(engine_, kNumRelations,
                                             [&](Relation r) { return r != asked_.relation; });
      concerned_ = {true, true};
      blame(WordRole::kRelation, 0, WordError::kRelation);
    } else if (kind == Mismatch::kMissing) {
      shown_.group(missing_).count = 0;
      blame(WordRole::kColour, missing_, WordError::kMissing);
      blame(WordRole::kShape, missing_, WordError::kMissing);
    } else if (kind == Mismatch::kExtra) {
      extra_ = Object{};
      extra_->shape = static_cast<Shape>(uniform_int(engine_, kNumShapes));
      extra_->size = static_cast<Size>(uniform_int(engine_, kNumSizes));
      extra_->colour = draw_other<Colour>(engine_, kNumColours, [&](Colour colour) {
        return !names_colour(asked_, colour) && !names_colour(shown_, colour);
      });
    } else {
      lost = change_group(kind);
    }
    alignment_ *= 1 - lost;
  }

  /// Changes one attribute of a group that is there; returns the penalty.
  double change_group(Mismatch kind) {
    std::int64_t g = 0;
    if (asked_.second) g = missing_ >= 0 ? 1 - missing_ : uniform_int(engine_, 2);
    auto& group = shown_.group(g);
    const auto before = group;
    double lost = penalty(kind);
    if (kind == Mismatch::kColour) {
      group.colour = draw_other<Colour>(engine_, kNumColours, [&](Colour colour) {
        return !names_colour(asked_, colour) && (!extra_ || extra_->colour != colour);
      });
      blame(WordRole::kColour, g, WordError::kColour);
    } else if (kind == Mismatch::kShape) {
      group.shape = draw_other<Shape>(engine_, kNumShapes,
                                      [&](Shape shape) { return shape != before.shape; });
      blame(WordRole::kShape, g, WordError::kShape);
    } else if (kind == Mismatch::kSize) {
      group.size = before.size == Size::kSmall ? Size::kLarge : Size::kSmall;
      blame(WordRole::kSize, g, WordError::kSize);
    } else {
      group.count = 1 + (before.count + uniform_int(engine_, kMaxCount - 1)) % kMaxCount;
      lost = count_penalty(group.count - before.count);
      blame(WordRole::kCount, g, WordError::kCount);
    }
    concerned_[g] = true;
    return asked_.second ? penalty_share_of_two_groups() * lost : lost;
  }

  void blame(WordRole role, std::int64_t group, WordError error) {
    for (std::size_t i = 0; i < roles_.size(); ++i) {
      if (roles_[i].role == role && roles_[i].group == group) words_[i] = error;
    }
  }

  const Description& asked_;
  Description shown_;
  std::mt19937_64& engine_;
  std::vector<RoleOfGroup> roles_;
  std::vector<WordError> words_;
  std::optional<Object> extra_;
  std::array<bool, 2> concerned_ = {false, false};
  std::int64_t missing_ = -1;
  double alignment_ = 1;
};

}  // namespace

std::string_view name(Mismatch kind) {
  constexpr std::array<std::string_view, kNumMismatches> kNames = {
      "colour", "shape", "size", "count", "relation", "missing", "extra"};
  return kNames[static_cast<std::size_t>(kind)];
}

double penalty(Mismatch kind) {
  constexpr std::array<double, kNumMismatches> kPenalty = {.5, .55, .3, .3, .6, .7, .35};
  return kPenalty[static_cast<std::size_t>(kind)];
}

double count_penalty(std::int64_t off) {
  return std::abs(off) > 1 ? 0.45 : penalty(Mismatch::kCount);
}

double penalty_share_of_two_groups() { return 0.8; }

std::optional<Depiction> depict(const Description& asked, const std::vector<Mismatch>& mismatches,
                                std::mt19937_64& engine) {
  return Change(asked, mismatches, engine).depict(mismatches);
}

std::vector<Mismatch> random_mismatches(const Description& asked, double two_group_share,
                                        std::mt19937_64& engine) {
  constexpr double kTwoShare = 0.25;
  // Relation and missing get in captions of two groups what they cannot have in the others.
  const double fair = 1.0 / kNumMismatches;
  const double for_two = std::min(0.35, fair / std::max(two_group_share, 1e-9));
  const auto draw_kind = [&] {
    if (asked.second && happens(engine, 2 * for_two)) {
      return happens(engine, 0.5) ? Mismatch::kRelation : Mismatch::kMissing;
    }
    return draw_other<Mismatch>(engine, kNumMismatches,
                                [](Mismatch kind) { return !needs_two_groups(kind); });
  };
  std::vector<Mismatch> kinds = {draw_kind()};
  if (!happens(engine, kTwoShare)) return kinds;
  Mismatch second;
  do {
    second = draw_kind();
  } while (clash(kinds[0], second) || clash(second, kinds[0]));
  kinds.push_back(second);
  return kinds;
}

}  // namespace rahf::world
