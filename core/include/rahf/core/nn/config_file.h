#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace rahf::nn {

/// A config.json as Hugging Face's models have it. Every problem is reported with file and key.
/// A value; safe to copy.
class ConfigFile {
 public:
  /// @throws FileError if the file cannot be read or is not a JSON object.
  explicit ConfigFile(const std::filesystem::path& file);

  /// False also for a key whose value is null.
  bool has(const std::string& key) const;
  /// The value of a key, or what `value` already is.
  /// @tparam T  bool, std::int64_t, double, std::string, or a vector of one of the last three,
  /// which
  ///            also takes one alone
  /// @throws ConfigError if the value is of another type.
  template <class T>
  void read(const std::string& key, T& value) const;
  /// The value of a key that has to be there.
  /// @throws ConfigError if it is not.
  template <class T>
  void require(const std::string& key, T& value) const {
    if (!has(key)) missing(key);
    read(key, value);
  }
  /// Reads every field of an options struct whose fields are named as the file's keys.
  template <class Options>
  void read_fields(Options& options) const {
    Options::fields(options, [this](const char* key, auto& value, const char*) {
      read(std::string(key), value);
    });
  }
  /// Insists that a key, if it is there, has the one value that is supported.
  /// @param json  that value as JSON, for example "\"silu\"" or "false"
  /// @throws ConfigError if it has another.
  void only(const std::string& key, const std::string& json) const;
  /// An object inside the object, for example "text_config".
  /// @throws ConfigError if it is not one.
  ConfigFile section(const std::string& key) const;
  /// The file and the section, for the text of errors.
  const std::string& name() const { return name_; }

 private:
  ConfigFile(std::string name, std::shared_ptr<const nlohmann::json> json);
  [[noreturn]] void missing(const std::string& key) const;

  std::string name_;
  std::shared_ptr<const nlohmann::json> json_;
};

}  // namespace rahf::nn
