#include "rahf/reward/data/annotation.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "rahf/core/words.h"

namespace rahf::reward {
namespace {

using Json = nlohmann::json;

[[noreturn]] void fail(const std::string& reason) { throw FileError(reason); }

/// What a value looks like in a message: its JSON, cut short.
std::string shown(const Json& value) {
  auto text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 40) text = text.substr(0, 37) + "...";
  return text;
}

/// JSON in which no object has a key twice.
Json parse_json(std::string_view json) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto watch = [&](int, Json::parse_event_t event, const Json& value) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      fail("key " + shown(value) + " is given twice");
    }
    return true;
  };
  try {
    return Json::parse(json, watch);
  } catch (const Json::exception& error) {
    fail(std::string("broken JSON: ") + error.what());
  }
}

std::string read_string(const Json& record, const char* key) {
  const auto& value = record.at(key);
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
    fail(std::string(key) + " must be a text that is not empty, got " + shown(value));
  }
  if (value.get_ref<const std::string&>().find('\0') != std::string::npos) {
    fail(std::string(key) + " must not hold a NUL character, got " + shown(value));
  }
  return value.get<std::string>();
}

std::vector<Point> read_points(const Json& record, const char* key) {
  const auto& value = record.at(key);
  if (!value.is_array()) {
    fail(std::string(key) + " must be a list of [x, y], got " + shown(value));
  }
  std::vector<Point> points;
  for (const auto& point : value) {
    if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_number()) {
      fail(std::string(key) + " must hold [x, y] in pixels, got " + shown(point));
    }
    points.push_back({point[0].get<double>(), point[1].get<double>()});
  }
  return points;
}

std::vector<std::int64_t> read_words(const Json& record, const std::string& prompt) {
  const auto& value = record.at("misaligned_words");
  if (!value.is_array()) fail("misaligned_words must be a list of indices, got " + shown(value));
  std::vector<std::int64_t> words;
  const auto count = static_cast<std::int64_t>(split_words(prompt).size());
  for (const auto& index : value) {
    if (!index.is_number_integer() || index < 0 || index >= count) {
      fail("misaligned_words must be indices below " + std::to_string(count) +
           ", the number of the prompt's words, got " + shown(index));
    }
    words.push_back(index.get<std::int64_t>());
    if (std::find(words.begin(), words.end() - 1, words.back()) != words.end() - 1) {
      fail("misaligned_words must name each word once, got " + shown(index) + " again in " +
           shown(value) + " (indices, not one flag per word)");
    }
  }
  return words;
}

std::array<std::int64_t, 4> read_scores(const Json& record) {
  const auto& value = record.at("scores");
  if (!value.is_object()) fail("scores must be an object, got " + shown(value));
  std::array<std::int64_t, 4> scores = {};
  for (std::size_t k = 0; k < kScoreNames.size(); ++k) {
    const std::string name(kScoreNames[k]);
    const auto found = value.find(name);
    if (found == value.end()) fail("scores has no " + name);
    if (!found->is_number_integer() || *found < 1 || *found > 5) {
      fail("score " + name + " must be a whole number from 1 to 5, got " + shown(*found));
    }
    scores[k] = found->get<std::int64_t>();
  }
  for (const auto& [name, score] : value.items()) {
    if (std::find(kScoreNames.begin(), kScoreNames.end(), name) == kScoreNames.end()) {
      fail("unknown score '" + name + "'");
    }
  }
  return scores;
}

/// The annotator's own part of a record, which does not repeat image and prompt.
void read_feedback(const Json& record, Annotation& annotation) {
  annotation.annotator = read_string(record, "annotator");
  annotation.implausible_points = read_points(record, "implausible_points");
  annotation.misaligned_points = read_points(record, "misaligned_points");
  annotation.misaligned_words = read_words(record, annotation.prompt);
  annotation.scores = read_scores(record);
}

Json points_json(const std::vector<Point>& points) {
  // Whole numbers are written without ".0", as people write them.
  const auto number = [](double value) {
    return value == std::floor(value) && std::abs(value) < 1e15
               ? Json(static_cast<std::int64_t>(value))
               : Json(value);
  };
  auto list = Json::array();
  for (const auto& point : points) list.push_back({number(point.x), number(point.y)});
  return list;
}

nlohmann::ordered_json feedback_json(const Annotation& annotation) {
  nlohmann::ordered_json scores;
  for (std::size_t k = 0; k < kScoreNames.size(); ++k) {
    scores[std::string(kScoreNames[k])] = annotation.scores[k];
  }
  return {{"annotator", annotation.annotator},
          {"implausible_points", points_json(annotation.implausible_points)},
          {"misaligned_points", points_json(annotation.misaligned_points)},
          {"misaligned_words", annotation.misaligned_words},
          {"scores", scores}};
}

}  // namespace

Annotation parse_annotation(std::string_view json) {
  static const std::set<std::string> keys = {
      "image", "prompt", "annotator", "implausible_points", "misaligned_points", "misaligned_words",
      "scores"};
  const auto record = parse_json(json);
  if (!record.is_object()) fail("a record must be a JSON object, got " + shown(record));
  for (const auto& [key, value] : record.items()) {
    if (!keys.count(key)) fail("unknown key '" + key + "'");
  }
  for (const auto& key : keys) {
    if (!record.contains(key)) fail("the record has no '" + key + "'");
  }
  Annotation annotation;
  annotation.image = read_string(record, "image");
  annotation.prompt = read_string(record, "prompt");
  read_feedback(record, annotation);
  return annotation;
}

void check_points(const Annotation& annotation, std::int64_t height, std::int64_t width) {
  for (const auto* points : {&annotation.implausible_points, &annotation.misaligned_points}) {
    for (const auto& [x, y] : *points) {
      if (x >= 0 && y >= 0 && x < static_cast<double>(width) && y < static_cast<double>(height)) {
        continue;
      }
      std::ostringstream reason;
      reason << (points == &annotation.implausible_points ? "implausible" : "misaligned")
             << "_points: a click must lie inside the picture of " << width << " x " << height
             << " pixels, got [" << x << ", " << y << "]";
      fail(reason.str());
    }
  }
}

std::string write_annotation(const Annotation& annotation) {
  nlohmann::ordered_json record = {{"image", annotation.image}, {"prompt", annotation.prompt}};
  record.update(feedback_json(annotation));
  return record.dump();
}

std::string write_annotations(const std::vector<Annotation>& annotations) {
  auto list = nlohmann::ordered_json::array();
  for (const auto& annotation : annotations) list.push_back(feedback_json(annotation));
  return list.dump();
}

std::vector<Annotation> parse_annotations(std::string_view json, const std::string& image,
                                          const std::string& prompt) {
  std::vector<Annotation> annotations;
  try {
    for (const auto& record : Json::parse(json)) {
      auto& annotation = annotations.emplace_back();
      annotation.image = image;
      annotation.prompt = prompt;
      read_feedback(record, annotation);
    }
  } catch (const Json::exception& error) {
    fail("raw annotations of '" + image + "': " + error.what());
  }
  return annotations;
}

std::string Problem::text() const { return file + ":" + std::to_string(line) + ": " + reason; }

LineReader::LineReader(const std::filesystem::path& file)
    : file_(file), in_(file, std::ios::binary) {
  if (!in_ || std::filesystem::is_directory(file)) {
    fail(file.string() + ": cannot be opened for reading");
  }
}

std::vector<LineReader::Line> LineReader::read(std::int64_t count) {
  std::vector<Line> lines;
  std::string text;
  while (std::ssize(lines) < count && std::getline(in_, text)) {
    const auto offset = offset_;
    if (!in_.eof()) text += '\n';
    ++number_;
    offset_ += std::ssize(text);
    for (const char byte : text) {
      hash_ = (hash_ ^ static_cast<unsigned char>(byte)) * 1099511628211u;
    }
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    lines.push_back({std::move(text), number_, offset});
    text.clear();
  }
  if (in_.bad()) fail(file_.string() + ": reading failed after line " + std::to_string(number_));
  return lines;
}

}  // namespace rahf::reward
