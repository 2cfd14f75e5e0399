#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "rahf/core/options.h"

namespace rahf::io {

/// A JSON object to be written, its keys in the order in which they are set.
class JsonObject {
 public:
  JsonObject();
  JsonObject(JsonObject&&) noexcept;
  ~JsonObject();

  void set(const std::string& key, bool value);
  void set(const std::string& key, std::int64_t value);
  void set(const std::string& key, double value);
  void set(const std::string& key, const std::string& value);
  void set(const std::string& key, const char* value) { set(key, std::string(value)); }
  void set(const std::string& key, const std::vector<std::int64_t>& value);
  void set(const std::string& key, const std::vector<double>& value);
  void set(const std::string& key, const std::vector<std::string>& value);
  template <class E>
  requires std::is_enum_v<E>
  void set(const std::string& key, E value) { set(key, option_text::write(value)); }
  void set_null(const std::string& key);
  /// Every field of an options struct, by its own name.
  template <class Options>
  void set_fields(const Options& options) {
    Options::fields(options,
                    [this](const char* name, const auto& value, const char*) { set(name, value); });
  }
  /// Indented, with a line break at the end.
  std::string text() const;

 private:
  std::unique_ptr<nlohmann::ordered_json> json_;
};

}  // namespace rahf::io
