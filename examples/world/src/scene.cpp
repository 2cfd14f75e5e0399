#include "rahf/world/scene.h"

#include <algorithm>
#include <cmath>

#include "draws.h"

namespace rahf::world {
namespace {

/// Where an object's centre may lie.
struct Box {
  double left, right, top, bottom;
};

double distance_needed(const Object& a, const Object& b) {
  return kReach * (a.radius() + b.radius()) + kMargin;
}

bool apart(const Object& a, const Object& b) {
  return std::hypot(a.x - b.x, a.y - b.y) >= distance_needed(a, b) - 1e-9;
}

/// The part of the picture on one side of the split between the groups, less the object's reach.
Box room(const Object& object, Relation relation, double split, bool two_groups) {
  const double edge = kReach * object.radius() + kMargin;
  Box box{edge, 1 - edge, edge, 1 - edge};
  if (!two_groups || object.group == Object::kExtra) return box;
  const double reach = kReach * object.radius() + kMargin / 2;
  const auto way = direction(object.group == 0 ? relation : opposite(relation));
  if (way[0] < 0) box.right = split - reach;
  if (way[0] > 0) box.left = split + reach;
  if (way[1] < 0) box.bottom = split - reach;
  if (way[1] > 0) box.top = split + reach;
  return box;
}

/// The least that a group takes of the picture in the relation's direction: a row, or a zigzag if a
/// row of three is too long.
double thickness(const Group& group) {
  const double reach = kReach * radius_of(group.size);
  const double distance = 2 * reach + kMargin;
  const double step =
      (1 - 2 * (reach + kMargin)) / static_cast<double>(std::max(group.count - 1, 1L));
  const double zigzag =
      step < distance && group.count > 1 ? std::sqrt(distance * distance - step * step) : 0;
  return 2 * reach + 1.5 * kMargin + zigzag;
}

/// Where one group ends and the other begins, anywhere that leaves room for both.
double draw_split(const Description& description, std::mt19937_64& engine) {
  const auto way = direction(description.relation);
  const bool first_ahead = way[0] + way[1] < 0;
  const auto& ahead = first_ahead ? description.first : *description.second;
  const auto& behind = first_ahead ? *description.second : description.first;
  return between(engine, thickness(ahead), 1 - thickness(behind));
}

/// Draws places and pushes overlapping objects apart. True if all margins are kept in the end.
bool try_places(std::vector<Object>& objects, const Description& description, bool two_groups,
                std::mt19937_64& engine) {
  constexpr int kPushes = 60;
  const double split = two_groups ? draw_split(description, engine) : 0;
  std::vector<Box> boxes;
  for (auto& object : objects) {
    const auto box = boxes.emplace_back(room(object, description.relation, split, two_groups));
    if (box.left > box.right || box.top > box.bottom) return false;
    object.x = between(engine, box.left, box.right);
    object.y = between(engine, box.top, box.bottom);
  }
  for (int push = 0; push < kPushes; ++push) {
    bool all_apart = true;
    for (std::size_t i = 0; i < objects.size(); ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        auto &a = objects[i], &b = objects[j];
        if (apart(a, b)) continue;
        all_apart = false;
        const double dx = a.x - b.x, dy = a.y - b.y;
        const double distance = std::max(std::hypot(dx, dy), 1e-6);
        const double step = 0.52 * (distance_needed(a, b) - distance) / distance;
        a.x = std::clamp(a.x + step * dx, boxes[i].left, boxes[i].right);
        a.y = std::clamp(a.y + step * dy, boxes[i].top, boxes[i].bottom);
        b.x = std::clamp(b.x - step * dx, boxes[j].left, boxes[j].right);
        b.y = std::clamp(b.y - step * dy, boxes[j].top, boxes[j].bottom);
      }
    }
    if (all_apart) return true;
  }
  return false;
}

Group random_group(std::mt19937_64& engine) {
  Group group;
  group.count = 1 + uniform_int(engine, kMaxCount);
  group.size = static_cast<Size>(uniform_int(engine, kNumSizes));
  group.colour = static_cast<Colour>(uniform_int(engine, kNumColours));
  group.shape = static_cast<Shape>(uniform_int(engine, kNumShapes));
  return group;
}

std::int64_t num_large(const Group& group) { return group.size == Size::kLarge ? group.count : 0; }

}  // namespace

bool Description::operator==(const Description& other) const {
  return first == other.first && second == other.second && (!second || relation == other.relation);
}

std::array<double, 2> direction(Relation relation) {
  switch (relation) {
    case Relation::kAbove:
      return {0, -1};
    case Relation::kBelow:
      return {0, 1};
    case Relation::kLeftOf:
      return {-1, 0};
    case Relation::kRightOf:
      return {1, 0};
  }
  return {0, 0};
}

Relation opposite(Relation relation) {
  return static_cast<Relation>(static_cast<std::uint8_t>(relation) ^ 1U);
}

double relation_offset(const Scene& scene, Relation relation) {
  const auto way = direction(relation);
  double sum[2] = {0, 0};
  std::int64_t count[2] = {0, 0};
  for (const auto& object : scene.objects) {
    if (object.group == Object::kExtra) continue;
    sum[object.group] += object.x * way[0] + object.y * way[1];
    ++count[object.group];
  }
  if (count[0] == 0 || count[1] == 0) return 0;
  return sum[0] / static_cast<double>(count[0]) - sum[1] / static_cast<double>(count[1]);
}

bool relation_holds(const Scene& scene, Relation relation) {
  return relation_offset(scene, relation) >= kRelationGap;
}

bool well_spaced(const Scene& scene) {
  const auto& objects = scene.objects;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const double edge = kReach * objects[i].radius() + kMargin - 1e-9;
    if (objects[i].x < edge || objects[i].x > 1 - edge) return false;
    if (objects[i].y < edge || objects[i].y > 1 - edge) return false;
    for (std::size_t j = 0; j < i; ++j) {
      if (!apart(objects[i], objects[j])) return false;
    }
  }
  return true;
}

Description random_description(std::mt19937_64& engine, double two_group_share) {
  Description description;
  description.first = random_group(engine);
  if (uniform(engine) >= two_group_share) return description;
  description.relation = static_cast<Relation>(uniform_int(engine, kNumRelations));
  do {
    description.second = random_group(engine);
  } while (description.second->colour == description.first.colour ||
           num_large(description.first) + num_large(*description.second) > kMaxLarge);
  return description;
}

std::optional<Scene> lay_out(const Description& description, std::mt19937_64& engine,
                             const std::optional<Object>& extra) {
  constexpr int kTries = 500;
  Scene scene;
  for (std::int64_t g = 0; g < description.num_groups(); ++g) {
    const auto& group = description.group(g);
    const Object object{group.shape, group.colour, group.size, 0, 0, g};
    scene.objects.insert(scene.objects.end(), group.count, object);
  }
  const bool two_groups =
      description.second && description.first.count > 0 && description.second->count > 0;
  if (extra) {
    scene.objects.push_back(*extra);
    scene.objects.back().group = Object::kExtra;
  }
  for (int i = 0; i < kTries; ++i) {
    if (try_places(scene.objects, description, two_groups, engine)) return scene;
  }
  return {};
}

}  // namespace rahf::world
