#include "rahf/world/caption.h"

#include <algorithm>
#include <array>

#include "rahf/core/words.h"

namespace rahf::world {
namespace {

constexpr std::array<std::string_view, kMaxCount> kCounts = {"a", "two", "three"};
constexpr std::array<std::string_view, kNumSizes> kSizes = {"small", "large"};
constexpr std::array<std::string_view, kNumColours> kColours = {
    "red", "orange", "yellow", "green", "cyan", "blue", "purple", "black"};
constexpr std::array<std::string_view, kNumShapes> kShapes = {"circle", "square", "triangle",
                                                              "star",   "cross",  "diamond"};
constexpr std::array<std::string_view, kNumShapes> kPlurals = {"circles", "squares", "triangles",
                                                               "stars",   "crosses", "diamonds"};
constexpr std::array<std::string_view, kNumRelations> kRelations = {"above", "below", "left",
                                                                    "right"};
constexpr std::string_view kOf = "of";

bool has_of(Relation relation) {
  return relation == Relation::kLeftOf || relation == Relation::kRightOf;
}

template <class E, std::size_t N>
std::string_view at(const std::array<std::string_view, N>& names, E value) {
  return names[static_cast<std::size_t>(value)];
}

/// Reads words one after the other; any mismatch makes all that follows fail.
class Reader {
 public:
  explicit Reader(std::string_view text) : words_(split_words(text)) {}

  template <std::size_t N>
  std::size_t one_of(const std::array<std::string_view, N>& names) {
    const auto word = next_ < words_.size() ? std::string_view(words_[next_++]) : "";
    const auto found = std::find(names.begin(), names.end(), word);
    if (found == names.end()) {
      ok_ = false;
      return 0;
    }
    return static_cast<std::size_t>(found - names.begin());
  }

  Group group() {
    Group group;
    group.count = static_cast<std::int64_t>(one_of(kCounts)) + 1;
    group.size = static_cast<Size>(one_of(kSizes));
    group.colour = static_cast<Colour>(one_of(kColours));
    group.shape = static_cast<Shape>(one_of(group.count == 1 ? kShapes : kPlurals));
    return group;
  }

  bool at_end() const { return next_ == words_.size(); }
  bool ok() const { return ok_; }

 private:
  std::vector<std::string> words_;
  std::size_t next_ = 0;
  bool ok_ = true;
};

}  // namespace

std::vector<CaptionWord> caption_words(const Description& description) {
  std::vector<CaptionWord> words;
  const auto add = [&](std::string_view text, WordRole role, std::int64_t group) {
    words.push_back({std::string(text), role, group});
  };
  for (std::int64_t g = 0; g < description.num_groups(); ++g) {
    if (g == 1) {
      add(at(kRelations, description.relation), WordRole::kRelation, 0);
      if (has_of(description.relation)) add(kOf, WordRole::kRelation, 0);
    }
    const auto& group = description.group(g);
    add(at(kCounts, group.count - 1), WordRole::kCount, g);
    add(at(kSizes, group.size), WordRole::kSize, g);
    add(at(kColours, group.colour), WordRole::kColour, g);
    add(at(group.count == 1 ? kShapes : kPlurals, group.shape), WordRole::kShape, g);
  }
  return words;
}

std::string caption(const Description& description) {
  std::vector<std::string> texts;
  for (auto& word : caption_words(description)) texts.push_back(std::move(word.text));
  return join_words(texts);
}

std::optional<Description> parse_caption(std::string_view text) {
  Reader reader(text);
  Description description;
  description.first = reader.group();
  if (reader.ok() && !reader.at_end()) {
    description.relation = static_cast<Relation>(reader.one_of(kRelations));
    if (has_of(description.relation)) reader.one_of(std::array{kOf});
    description.second = reader.group();
  }
  if (!reader.ok() || !reader.at_end()) return {};
  return description;
}

std::vector<std::string> vocabulary() {
  std::vector<std::string> words;
  const auto add = [&](const auto& names) {
    words.insert(words.end(), names.begin(), names.end());
  };
  add(kCounts);
  add(kSizes);
  add(kColours);
  add(kShapes);
  add(kPlurals);
  add(kRelations);
  add(std::array{kOf});
  return words;
}

std::string_view name(Colour colour) { return at(kColours, colour); }
std::string_view name(Shape shape) { return at(kShapes, shape); }

}  // namespace rahf::world
