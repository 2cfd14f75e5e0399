#include "alignment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

namespace rahf::world {
namespace {

/// More units than this are not tried in every combination; the smallest become extra.
constexpr std::size_t kMostUnits = 8;

/// How wrong a group is, each in [0, 1].
struct Faults {
  double missing = 0, count = 0, size = 0, colour = 0, shape = 0;
  std::int64_t off = 0;  ///< Objects too many or too few.
};

struct Comparison {
  std::array<Faults, 2> groups;
  double relation = 0;
  double score = 1;
};

double colour_fault(const Group& group, const SeenObject& seen) {
  return seen.object.colour == group.colour ? 0 : 1;
}
double shape_fault(const Group& group, const SeenObject& seen) {
  return 1 - seen.shapes[static_cast<std::size_t>(group.shape)];
}
double size_fault(const Group& group, const SeenObject& seen) {
  return 1 - seen.sizes[static_cast<std::size_t>(group.size)];
}

Faults faults_of(const Group& group, const std::vector<SeenObject>& objects, std::int64_t index) {
  Faults faults;
  std::int64_t count = 0;
  for (const auto& seen : objects) {
    if (seen.object.group != index) continue;
    ++count;
    faults.colour += colour_fault(group, seen);
    faults.shape += shape_fault(group, seen);
    faults.size += size_fault(group, seen);
  }
  if (count == 0) return {.missing = 1};
  for (auto* fault : {&faults.colour, &faults.shape, &faults.size}) {
    *fault /= static_cast<double>(count);
  }
  faults.off = std::abs(count - group.count);
  faults.count = faults.off > 0 ? 1 : 0;
  return faults;
}

/// 0 if the relation holds, 1 if it does not at all.
double relation_fault(const Description& asked, const std::vector<SeenObject>& objects) {
  Scene scene;
  for (const auto& seen : objects) scene.objects.push_back(seen.object);
  const double offset = relation_offset(scene, asked.relation);
  return std::clamp(1 - offset / kRelationGap, 0.0, 1.0);
}

Comparison compare(const Description& asked, const std::vector<SeenObject>& objects) {
  // Penalties are those of the world's truth. Where only a share s of a group is wrong,
  // 3 s / (1 + 2 s) counts: one wrong object is worse than its share of a wrong group.
  const auto keep = [](double most, double share) {
    return 1 - most * 3 * share / (1 + 2 * share);
  };
  const double part = asked.second ? penalty_share_of_two_groups() : 1;
  Comparison comparison;
  double missing = 0;
  for (std::int64_t g = 0; g < asked.num_groups(); ++g) {
    const auto& faults = comparison.groups[g] = faults_of(asked.group(g), objects, g);
    missing = std::max(missing, faults.missing);
    comparison.score *=
        keep(penalty(Mismatch::kMissing), faults.missing) *
        keep(part * penalty(Mismatch::kColour), faults.colour) *
        keep(part * penalty(Mismatch::kShape), faults.shape) *
        keep(part * penalty(Mismatch::kSize), faults.size) *
        keep(part * count_penalty(std::max<std::int64_t>(1, faults.off)), faults.count);
  }
  if (asked.second && missing == 0) {
    comparison.relation = relation_fault(asked, objects);
    comparison.score *= keep(penalty(Mismatch::kRelation), comparison.relation);
  }
  for (const auto& seen : objects) {
    if (seen.object.group == Object::kExtra) comparison.score *= 1 - penalty(Mismatch::kExtra);
  }
  if (objects.empty()) comparison.score = 0;
  return comparison;
}

/// Objects that belong together: those of one colour, as the caption tells its groups apart by
/// colour; by shape and size too if it does not.
std::vector<std::vector<std::size_t>> units(const Description& asked,
                                            const std::vector<SeenObject>& objects) {
  const bool by_colour = !asked.second || asked.second->colour != asked.first.colour;
  std::map<std::array<int, 3>, std::vector<std::size_t>> found;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const auto& object = objects[i].object;
    std::array<int, 3> key = {static_cast<int>(object.colour), 0, 0};
    if (!by_colour) key = {key[0], static_cast<int>(object.shape), static_cast<int>(object.size)};
    found[key].push_back(i);
  }
  std::vector<std::vector<std::size_t>> result;
  for (auto& [key, members] : found) result.push_back(std::move(members));
  // Objects come largest first, so a unit's first member tells how large it is.
  std::sort(result.begin(), result.end(),
            [](const auto& a, const auto& b) { return a.front() < b.front(); });
  return result;
}

/// Tries every way to give units [next, ...) to groups, and keeps the objects of the best.
void try_all(const Description& asked, const std::vector<std::vector<std::size_t>>& all,
             std::size_t next, std::vector<SeenObject>& objects, double& best_score,
             std::vector<std::int64_t>& best_groups) {
  if (next == std::min(all.size(), kMostUnits)) {
    const double score = compare(asked, objects).score;
    if (score <= best_score) return;
    best_score = score;
    for (std::size_t i = 0; i < objects.size(); ++i) best_groups[i] = objects[i].object.group;
    return;
  }
  for (const std::int64_t group : {std::int64_t{0}, std::int64_t{1}, Object::kExtra}) {
    if (group == 1 && !asked.second) continue;
    for (const auto i : all[next]) objects[i].object.group = group;
    try_all(asked, all, next + 1, objects, best_score, best_groups);
  }
}

WordError error_of(WordRole role) {
  switch (role) {
    case WordRole::kCount:
      return WordError::kCount;
    case WordRole::kSize:
      return WordError::kSize;
    case WordRole::kColour:
      return WordError::kColour;
    case WordRole::kShape:
      return WordError::kShape;
    case WordRole::kRelation:
      return WordError::kRelation;
  }
  return WordError::kNone;
}

double word_fault(const Comparison& comparison, const CaptionWord& word) {
  const auto& faults = comparison.groups[word.group];
  switch (word.role) {
    case WordRole::kCount:
      return faults.count;
    case WordRole::kSize:
      return faults.size;
    case WordRole::kColour:
      return std::max(faults.colour, faults.missing);
    case WordRole::kShape:
      return std::max(faults.shape, faults.missing);
    case WordRole::kRelation:
      return comparison.relation;
  }
  return 0;
}

}  // namespace

Alignment align(const Description& asked, std::vector<SeenObject>& objects) {
  for (auto& seen : objects) seen.object.group = Object::kExtra;
  double best_score = -1;
  std::vector<std::int64_t> best_groups(objects.size());
  try_all(asked, units(asked, objects), 0, objects, best_score, best_groups);
  for (std::size_t i = 0; i < objects.size(); ++i) objects[i].object.group = best_groups[i];

  const auto comparison = compare(asked, objects);
  Alignment alignment;
  alignment.score = comparison.score;
  for (const auto& word : caption_words(asked)) {
    const bool missing = comparison.groups[word.group].missing > 0;
    alignment.words.push_back(word_fault(comparison, word));
    alignment.errors.push_back(missing ? WordError::kMissing : error_of(word.role));
  }
  return alignment;
}

std::vector<double> concerns(const Description& asked, const std::vector<SeenObject>& objects) {
  const auto comparison = compare(asked, objects);
  std::vector<double> result;
  for (const auto& seen : objects) {
    if (seen.object.group == Object::kExtra) {
      result.push_back(1);
      continue;
    }
    const auto& group = asked.group(seen.object.group);
    const auto& faults = comparison.groups[seen.object.group];
    result.push_back(std::max({colour_fault(group, seen), shape_fault(group, seen),
                               size_fault(group, seen), faults.count, comparison.relation}));
  }
  return result;
}

}  // namespace rahf::world
