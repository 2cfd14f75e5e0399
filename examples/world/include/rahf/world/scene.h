#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

namespace rahf::world {

// What the closed world is made of. A description is what a caption says; a scene is one way of
// placing what a description asks for. Places and lengths are fractions of the picture's side, x to
// the right and y downwards, so that a scene can be rendered at any size.

enum class Shape : std::uint8_t { kCircle, kSquare, kTriangle, kStar, kCross, kDiamond };
enum class Colour : std::uint8_t { kRed, kOrange, kYellow, kGreen, kCyan, kBlue, kPurple, kBlack };
enum class Size : std::uint8_t { kSmall, kLarge };
/// Where the first group lies, seen from the second.
enum class Relation : std::uint8_t { kAbove, kBelow, kLeftOf, kRightOf };

inline constexpr std::int64_t kNumShapes = 6;
inline constexpr std::int64_t kNumColours = 8;
inline constexpr std::int64_t kNumSizes = 2;
inline constexpr std::int64_t kNumRelations = 4;
inline constexpr std::int64_t kMaxCount = 3;

/// Every shape of radius r fits a circle of radius kReach * r around its centre.
inline constexpr double kReach = 1.1;
/// Free space between two objects and between an object and the border, at least.
inline constexpr double kMargin = 1.25 / 64;
/// A relation holds if the groups' centroids are at least this far apart in its direction.
inline constexpr double kRelationGap = 8.0 / 64;
/// No scene has more large objects; more would not fit.
inline constexpr std::int64_t kMaxLarge = 4;

/// 6/64 or 10/64 of the picture's side.
constexpr double radius_of(Size size) { return size == Size::kSmall ? 6.0 / 64 : 10.0 / 64; }

/// "two small red circles"
struct Group {
  std::int64_t count = 1;  ///< 1 to kMaxCount.
  Size size = Size::kSmall;
  Colour colour = Colour::kRed;
  Shape shape = Shape::kCircle;
  bool operator==(const Group&) const = default;
};

/// One group, or two groups of different colours and how they lie.
struct Description {
  Group first;
  std::optional<Group> second;
  Relation relation = Relation::kAbove;  ///< Of the first to the second; without meaning for one.

  std::int64_t num_groups() const { return second ? 2 : 1; }
  const Group& group(std::int64_t index) const { return index == 0 ? first : *second; }
  Group& group(std::int64_t index) { return index == 0 ? first : *second; }
  bool operator==(const Description& other) const;
};

struct Object {
  Shape shape = Shape::kCircle;
  Colour colour = Colour::kRed;
  Size size = Size::kSmall;
  double x = 0.5;  ///< Centre.
  double y = 0.5;
  std::int64_t group = 0;  ///< 0 or 1: the caption's group it stands for; kExtra: none.

  static constexpr std::int64_t kExtra = 2;
  double radius() const { return radius_of(size); }
};

struct Scene {
  std::vector<Object> objects;
};

/// Unit vector from the second group to the first: above is (0, -1).
std::array<double, 2> direction(Relation relation);
Relation opposite(Relation relation);

/// Distance of the first group's centroid from the second's in the relation's direction, as a
/// fraction of the side; negative if they lie the other way round. 0 if a group is empty.
double relation_offset(const Scene& scene, Relation relation);
/// relation_offset() is at least kRelationGap.
bool relation_holds(const Scene& scene, Relation relation);

/// The objects keep their margins from one another and from the border.
bool well_spaced(const Scene& scene);

/// A random description that fits a picture.
/// @param two_group_share  probability of two groups, in [0, 1]
Description random_description(std::mt19937_64& engine, double two_group_share);

/// Places the description's groups at random, and `extra` (its x and y are ignored) where there is
/// room: objects keep their margins; of two groups one lies wholly beyond the other in the
/// relation's direction, with kMargin between them. A group of count 0 is left out.
/// @return nothing if the objects do not fit, which happens only beyond kMaxLarge large objects
std::optional<Scene> lay_out(const Description& description, std::mt19937_64& engine,
                             const std::optional<Object>& extra = {});

}  // namespace rahf::world
