#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "rahf/core/error.h"

namespace rahf {

/// Specialise for an enum that is an option, with a member
/// `static constexpr std::array<std::pair<E, std::string_view>, N> value`.
template <class E>
struct EnumNames;

/// One option as the command line, a config file and --help see it.
struct OptionField {
  std::string name;                             ///< For example "vit.layer_norm_eps".
  std::string help;                             ///< Meaning, unit and allowed range.
  std::string choices;                          ///< "a|b|c" for an enum, else empty.
  bool is_flag = false;                         ///< A bool: on the command line it needs no value.
  std::function<std::string()> get;             ///< The value as text.
  std::function<void(const std::string&)> set;  ///< @throws ConfigError saying what was expected.
};

namespace option_text {
// Text forms of the types an option may have. Reading back what was written gives the same value.
std::string write(bool value);
std::string write(std::int64_t value);
std::string write(std::uint64_t value);
std::string write(double value);
std::string write(const std::string& value);
std::string write(const std::vector<std::string>& value);
std::string write(const std::vector<double>& value);
std::string write(const std::vector<std::int64_t>& value);
void read(const std::string& text, bool& value);
void read(const std::string& text, std::int64_t& value);
void read(const std::string& text, std::uint64_t& value);
void read(const std::string& text, double& value);
void read(const std::string& text, std::string& value);
void read(const std::string& text, std::vector<std::string>& value);  // separated by commas
void read(const std::string& text, std::vector<double>& value);
void read(const std::string& text, std::vector<std::int64_t>& value);

template <class E>
requires std::is_enum_v<E> std::string write(E value) {
  for (const auto& [candidate, name] : EnumNames<E>::value) {
    if (candidate == value) return std::string(name);
  }
  throw ConfigError("an option holds an enum value without a name");
}

template <class E>
std::string choices() {
  std::string all;
  for (const auto& [candidate, name] : EnumNames<E>::value) {
    if (!all.empty()) all += '|';
    all += name;
  }
  return all;
}

template <class E>
requires std::is_enum_v<E>
void read(const std::string& text, E& value) {
  for (const auto& [candidate, name] : EnumNames<E>::value) {
    if (name == text) {
      value = candidate;
      return;
    }
  }
  throw ConfigError("must be one of " + choices<E>() + ", got '" + text + "'");
}
}  // namespace option_text

/// Lists the fields of an options struct. A struct takes part by a member
///
///     template <class Self, class Visit>
///     static void fields(Self& self, Visit&& visit) {
///       visit("width", self.width, "D, channels of one token; > 0");
///       visit("vit", self.vit, "");  // a struct of options of its own: fields "vit.width", ...
///     }
///
/// which serves reading, writing, --help and comparison alike. `options` must outlive the result.
template <class Options>
std::vector<OptionField> option_fields(Options& options, const std::string& prefix = "") {
  std::vector<OptionField> all;
  Options::fields(options, [&](const char* name, auto& value, const char* help) {
    using T = std::remove_reference_t<decltype(value)>;
    if constexpr (requires { T::fields(value, [](auto&&...) {}); }) {
      auto nested = option_fields(value, prefix + name + ".");
      all.insert(all.end(), std::make_move_iterator(nested.begin()),
                 std::make_move_iterator(nested.end()));
    } else {
      OptionField field{.name = prefix + name, .help = help, .choices = {}, .get = {}, .set = {}};
      field.is_flag = std::is_same_v<T, bool>;
      if constexpr (std::is_enum_v<T>) field.choices = option_text::choices<T>();
      field.get = [&value] { return option_text::write(value); };
      field.set = [&value](const std::string& text) { option_text::read(text, value); };
      all.push_back(std::move(field));
    }
  });
  return all;
}

/// The fields of `options` as `name = value` lines, in order: what a config file holds.
std::string write_config(const std::vector<OptionField>& fields);

/// Reads `name = value` lines; `#` starts a comment. Every problem names file and line.
/// @throws ConfigError for an unknown or repeated key or a bad value.
/// @throws FileError if the file cannot be read.
void read_config(const std::filesystem::path& file, const std::vector<OptionField>& fields);
void read_config(std::istream& in, const std::string& file_name,
                 const std::vector<OptionField>& fields);

/// Wrong use of a program's command line; programs answer with exit status 2.
class UsageError : public ConfigError {
 public:
  using ConfigError::ConfigError;
};

/// The command line of one verb: its options, `--config FILE`, and positional arguments.
///
/// An option `vit.layer_norm_eps` is shown as `--vit.layer-norm-eps`. Config files and command line
/// take dashes and underscores alike.
struct CommandLine {
  std::string usage;    ///< For example "rahf world --count N --out DIR".
  std::string summary;  ///< What the verb does, in a sentence or a paragraph.
  std::vector<OptionField> options;
  std::string positional;  ///< What positional arguments are ("PICTURE"), or empty for none.

  struct Parsed {
    bool help = false;                   ///< --help was given; nothing else was looked at.
    std::vector<std::string> arguments;  ///< The positional ones, in order.
    std::vector<std::string> given;      ///< Names of options set by the file or the command line.
    bool was_given(std::string_view name) const;
  };

  /// Sets options from `--config FILE` first and the command line over it.
  /// @throws UsageError naming the argument for anything unknown, repeated or malformed.
  Parsed parse(const std::vector<std::string>& arguments) const;

  /// Every option with its meaning, range and default.
  std::string help() const;
};

}  // namespace rahf
