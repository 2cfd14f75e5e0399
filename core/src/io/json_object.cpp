#include "rahf/core/io/json_object.h"

#include <nlohmann/json.hpp>

namespace rahf::io {

JsonObject::JsonObject()
    : json_(std::make_unique<nlohmann::ordered_json>(nlohmann::ordered_json::object())) {}
JsonObject::JsonObject(JsonObject&&) noexcept = default;
JsonObject::~JsonObject() = default;

void JsonObject::set(const std::string& key, bool value) { (*json_)[key] = value; }
void JsonObject::set(const std::string& key, std::int64_t value) { (*json_)[key] = value; }
void JsonObject::set(const std::string& key, double value) { (*json_)[key] = value; }
void JsonObject::set(const std::string& key, const std::string& value) { (*json_)[key] = value; }
void JsonObject::set(const std::string& key, const std::vector<std::int64_t>& value) {
  (*json_)[key] = value;
}
void JsonObject::set(const std::string& key, const std::vector<double>& value) {
  (*json_)[key] = value;
}
void JsonObject::set(const std::string& key, const std::vector<std::string>& value) {
  (*json_)[key] = value;
}
void JsonObject::set_null(const std::string& key) { (*json_)[key] = nullptr; }

std::string JsonObject::text() const { return json_->dump(2) + '\n'; }

}  // namespace rahf::io
