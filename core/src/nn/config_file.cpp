#include "rahf/core/nn/config_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <type_traits>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"

namespace rahf::nn {

namespace {

template <class T>
constexpr bool kIsList = false;
template <class T>
constexpr bool kIsList<std::vector<T>> = true;

template <class T>
bool fits(const nlohmann::json& got) {
  if constexpr (kIsList<T>) {
    return got.is_array() && std::all_of(got.begin(), got.end(), fits<typename T::value_type>);
  } else if constexpr (std::is_same_v<T, bool>) {
    return got.is_boolean();
  } else if constexpr (std::is_same_v<T, std::string>) {
    return got.is_string();
  } else if constexpr (std::is_integral_v<T>) {
    return got.is_number_integer();
  } else {
    return got.is_number();
  }
}

/// Python's json also writes Infinity, -Infinity and NaN, which JSON does not have: to null, as no
/// value, outside of strings.
std::string without_infinities(const std::string& text) {
  std::string plain;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') in_string = !in_string;
    if (in_string && text[i] == '\\' && i + 1 < text.size()) plain += text[i++];
    bool taken = false;
    for (const std::string_view word : {"-Infinity", "Infinity", "NaN"}) {
      if (in_string || text.compare(i, word.size(), word) != 0) continue;
      plain += "null";
      i += word.size() - 1;
      taken = true;
      break;
    }
    if (!taken) plain += text[i];
  }
  return plain;
}

}  // namespace

ConfigFile::ConfigFile(const std::filesystem::path& file) : name_(file.string()) {
  auto json = nlohmann::json::parse(without_infinities(io::read_file(file)), nullptr,
                                    /*allow_exceptions=*/false);
  if (!json.is_object()) throw FileError(name_ + ": must be a JSON object");
  json_ = std::make_shared<const nlohmann::json>(std::move(json));
}

ConfigFile::ConfigFile(std::string name, std::shared_ptr<const nlohmann::json> json)
    : name_(std::move(name)), json_(std::move(json)) {}

bool ConfigFile::has(const std::string& key) const {
  const auto found = json_->find(key);
  return found != json_->end() && !found->is_null();
}

void ConfigFile::missing(const std::string& key) const {
  throw ConfigError(name_ + ": " + key + " is missing");
}

template <class T>
void ConfigFile::read(const std::string& key, T& value) const {
  if (!has(key)) return;
  const auto& got = json_->at(key);
  if constexpr (kIsList<T>) {
    if (fits<typename T::value_type>(got)) {
      value = {got.get<typename T::value_type>()};
      return;
    }
  }
  if (!fits<T>(got)) throw ConfigError(name_ + ": " + key + " has the wrong type: " + got.dump());
  value = got.get<T>();
}

template void ConfigFile::read(const std::string&, bool&) const;
template void ConfigFile::read(const std::string&, std::int64_t&) const;
template void ConfigFile::read(const std::string&, double&) const;
template void ConfigFile::read(const std::string&, std::string&) const;
template void ConfigFile::read(const std::string&, std::vector<std::int64_t>&) const;
template void ConfigFile::read(const std::string&, std::vector<double>&) const;
template void ConfigFile::read(const std::string&, std::vector<std::string>&) const;

void ConfigFile::only(const std::string& key, const std::string& json) const {
  if (!has(key)) return;
  const auto& got = json_->at(key);
  if (got != nlohmann::json::parse(json)) {
    throw ConfigError(name_ + ": " + key + " must be " + json + ", got " + got.dump());
  }
}

ConfigFile ConfigFile::section(const std::string& key) const {
  if (!has(key)) missing(key);
  const auto& inner = json_->at(key);
  if (!inner.is_object()) {
    throw ConfigError(name_ + ": " + key + " must be an object, got " + inner.dump());
  }
  return ConfigFile(name_ + ": " + key, std::make_shared<const nlohmann::json>(inner));
}

}  // namespace rahf::nn
