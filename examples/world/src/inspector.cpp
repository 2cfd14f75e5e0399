#include "rahf/world/inspector.h"

#include <algorithm>
#include <array>
#include <map>

#include "alignment.h"
#include "explain.h"
#include "rahf/core/error.h"
#include "rahf/core/io/resize.h"
#include "residual.h"

namespace rahf::world {
namespace {

void require(bool holds, const std::string& text) {
  if (!holds) throw ConfigError("InspectorOptions: " + text);
}

/// @return [height, width] f32
torch::Tensor to_map(std::vector<float> values, std::int64_t side, std::int64_t height,
                     std::int64_t width) {
  auto map = torch::from_blob(values.data(), {side, side}).clone();
  if (height == side && width == side) return map;
  return io::resize(map.unsqueeze(0), height, width).squeeze(0).clamp(0, 1);
}

std::vector<float> map_of(const std::vector<SeenObject>& objects,
                          const std::vector<double>& strengths, std::int64_t side) {
  std::vector<float> map(side * side);
  for (std::size_t k = 0; k < objects.size(); ++k) {
    for (const auto i : objects[k].pixels) {
      map[i] = std::max(map[i], static_cast<float>(strengths[k]));
    }
  }
  return map;
}

/// Equal objects counted together: in the order of the caption's groups, then by colour.
std::vector<Group> group(const std::vector<SeenObject>& objects) {
  std::map<std::array<std::int64_t, 4>, Group> found;
  for (const auto& seen : objects) {
    const auto& object = seen.object;
    const std::array key = {object.group, static_cast<std::int64_t>(object.colour),
                            static_cast<std::int64_t>(object.shape),
                            static_cast<std::int64_t>(object.size)};
    const auto [place, is_new] =
        found.try_emplace(key, Group{0, object.size, object.colour, object.shape});
    ++place->second.count;
  }
  std::vector<Group> groups;
  for (const auto& entry : found) groups.push_back(entry.second);
  return groups;
}

/// The relations that hold between two groups: first the one asked for, then the clearest.
std::vector<Relation> relations_of(const std::vector<SeenObject>& objects,
                                   const std::vector<Group>& groups,
                                   const std::optional<Description>& asked) {
  if (groups.size() != 2) return {};
  Scene scene;
  for (const auto& seen : objects) {
    auto object = seen.object;
    const Group kind{groups[0].count, object.size, object.colour, object.shape};
    object.group = kind == groups[0] ? 0 : 1;
    scene.objects.push_back(object);
  }
  std::vector<Relation> holding;
  for (std::int64_t r = 0; r < kNumRelations; ++r) {
    if (relation_holds(scene, static_cast<Relation>(r))) {
      holding.push_back(static_cast<Relation>(r));
    }
  }
  const auto rank = [&](Relation relation) {
    return asked && asked->second && relation == asked->relation ? 2
                                                                 : relation_offset(scene, relation);
  };
  std::sort(holding.begin(), holding.end(),
            [&](Relation a, Relation b) { return rank(a) > rank(b); });
  return holding;
}

/// As the grammar has it, and beyond it with digits for large counts and commas between groups.
std::string describe(const std::vector<Group>& groups, const std::vector<Relation>& relations) {
  const auto text_of = [](Group one) {
    if (one.count <= kMaxCount) return caption({one, {}, {}});
    const auto digits = std::to_string(one.count);
    one.count = kMaxCount;
    auto text = caption({one, {}, {}});
    return digits + text.substr(text.find(' '));
  };
  if (groups.empty()) return "nothing";
  const bool in_grammar = std::all_of(groups.begin(), groups.end(),
                                      [](const Group& one) { return one.count <= kMaxCount; });
  if (in_grammar && !relations.empty()) return caption({groups[0], groups[1], relations[0]});
  std::string text;
  for (const auto& one : groups) text += (text.empty() ? "" : ", ") + text_of(one);
  return text;
}

}  // namespace

std::string_view name(WordError error) {
  constexpr std::array<std::string_view, 7> kNames = {"none",  "colour",   "shape",  "size",
                                                      "count", "relation", "missing"};
  return kNames[static_cast<std::size_t>(error)];
}

void InspectorOptions::validate() const {
  require(side >= 32 && side <= 256, "side must be in [32, 256], got " + std::to_string(side));
  require(noise_tolerance >= 0, "noise-tolerance must be >= 0");
  require(edge_tolerance >= 0 && edge_tolerance < 1, "edge-tolerance must be in [0, 1)");
  require(full_residual > 0, "full-residual must be > 0");
}

Inspector::Inspector(const InspectorOptions& options) : options_(options) {
  options.validate();
  explainer_ = std::make_unique<Explainer>(options.side);
}
Inspector::~Inspector() = default;
Inspector::Inspector(Inspector&&) noexcept = default;
Inspector& Inspector::operator=(Inspector&&) noexcept = default;

Inspection Inspector::inspect(const Image& image, std::optional<std::string_view> prompt) const {
  if (image.height < 1 || image.width < 1) {
    throw ShapeError("Inspector::inspect: image must have pixels, got an empty picture");
  }
  const auto side = options_.side;
  const bool fits = image.height == side && image.width == side;
  const Image resized = fits ? Image() : io::resize(image, side, side);
  const Image& picture = fits ? image : resized;
  const auto map_to_image = [&](std::vector<float> values) {
    return to_map(std::move(values), side, image.height, image.width);
  };

  auto explanation = explainer_->explain(picture);
  auto residual = unexplained(picture, explanation, options_);
  Inspection seen;
  seen.plausibility = residual.plausibility;
  seen.implausibility = map_to_image(std::move(residual.map));
  seen.background = explanation.background;
  seen.objects = std::move(explanation.objects);
  const auto asked = prompt ? parse_caption(*prompt) : std::nullopt;
  if (asked) {
    seen.alignment = align(*asked, seen.objects);
    seen.alignment->misalignment =
        map_to_image(map_of(seen.objects, concerns(*asked, seen.objects), side));
  }
  seen.groups = group(seen.objects);
  seen.relations = relations_of(seen.objects, seen.groups, asked);
  seen.caption = describe(seen.groups, seen.relations);
  return seen;
}

}  // namespace rahf::world
