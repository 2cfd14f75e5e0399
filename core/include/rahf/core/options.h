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
  /// Of a field "stage.N.ema" of a list: the number of elements, and the field of element n, from
  /// 1, which is made when it is set. Empty for every other field.
  std::function<std::int64_t()> count = {};
  std::function<OptionField(std::int64_t)> element = {};
  bool is_set = true;  ///< False for a field that an element of a list leaves as it is.
};

/// Some of the fields of an options struct, as text: what one stage of a run, or one variant of an
/// experiment, changes in the options that hold for all.
///
/// `visit("stage", self.stages, "")` with a `std::vector<Overrides<Options>>` spells them
/// `stage.1.ema = 0.99`.
template <class Options>
struct Overrides {
  std::map<std::string, std::string> texts;  ///< By name, "loss.word_weight".

  /// The options with these fields changed.
  Options over(Options options) const;
  bool operator==(const Overrides&) const = default;
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

/// Most elements that a list of options may have.
inline constexpr std::int64_t kMostElements = 99;

/// Lists the fields of an options struct. A struct takes part by a member
///
///     template <class Self, class Visit>
///     static void fields(Self& self, Visit&& visit) {
///       visit("width", self.width, "D, channels of one token; > 0");
///       visit("vit", self.vit, "");      // a struct of options of its own: "vit.width", ...
///       visit("stage", self.stages, ""); // a list of Overrides: "stage.1.width", ...
///     }
///
/// which serves reading, writing, --help and comparison alike. `options` must outlive the result.
template <class Options>
std::vector<OptionField> option_fields(Options& options, const std::string& prefix = "");

namespace option_detail {
/// The fields "NAME.N.*" of a list.
template <class Options>
std::vector<OptionField> list_fields(std::vector<Overrides<Options>>& list,
                                     const std::string& name) {
  Options model;
  std::vector<OptionField> all;
  for (const auto& one : option_fields(model)) {
    OptionField field = one;
    field.name = name + ".N." + one.name;
    field.get = [] { return std::string(); };
    field.set = [](const std::string&) {};
    field.count = [&list] { return static_cast<std::int64_t>(list.size()); };
    field.element = [&list, name, one](std::int64_t n) {
      const auto at = static_cast<std::size_t>(n - 1);
      OptionField element = one;
      element.name = name + '.' + std::to_string(n) + '.' + one.name;
      element.is_set = at < list.size() && list[at].texts.contains(one.name);
      element.get = [&list, at, key = one.name] {
        if (at >= list.size()) return std::string();
        const auto found = list[at].texts.find(key);
        return found == list[at].texts.end() ? std::string() : found->second;
      };
      element.set = [&list, at, key = one.name](const std::string& text) {
        Overrides<Options>{{{key, text}}}.over(Options());  // throws where it cannot be read
        if (at >= list.size()) list.resize(at + 1);
        list[at].texts[key] = text;
      };
      return element;
    };
    all.push_back(std::move(field));
  }
  return all;
}

template <class T>
inline constexpr bool kIsList = false;
template <class Options>
inline constexpr bool kIsList<std::vector<Overrides<Options>>> = true;
}  // namespace option_detail

template <class Options>
std::vector<OptionField> option_fields(Options& options, const std::string& prefix) {
  std::vector<OptionField> all;
  Options::fields(options, [&](const char* name, auto& value, const char* help) {
    using T = std::remove_reference_t<decltype(value)>;
    const auto append = [&all](std::vector<OptionField> more) {
      all.insert(all.end(), std::make_move_iterator(more.begin()),
                 std::make_move_iterator(more.end()));
    };
    if constexpr (option_detail::kIsList<T>) {
      append(option_detail::list_fields(value, prefix + name));
    } else if constexpr (requires { T::fields(value, [](auto&&...) {}); }) {
      append(option_fields(value, prefix + name + "."));
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

template <class Options>
Options Overrides<Options>::over(Options options) const {
  for (const auto& field : option_fields(options)) {
    if (const auto found = texts.find(field.name); found != texts.end()) field.set(found->second);
  }
  return options;
}

/// The field of that name, an element's ("stage.2.ema") among them; without `name` if there is
/// none.
OptionField find_option(const std::vector<OptionField>& fields, std::string_view name);

/// "stage.N.ema" for "stage.2.ema"; other names as they are.
std::string list_template(std::string_view name);

/// The text of every field; of a list's, those that are set.
std::map<std::string, std::string> option_values(const std::vector<OptionField>& fields);

/// The fields of `options` as `name = value` lines, in order: what a config file holds.
std::string write_config(const std::vector<OptionField>& fields);

/// Reads `name = value` lines; `#` starts a comment. Every problem names file and line.
/// @throws ConfigError for an unknown or repeated key or a bad value.
/// @throws FileError if the file cannot be read.
void read_config(const std::filesystem::path& file, const std::vector<OptionField>& fields);
void read_config(std::istream& in, const std::string& file_name,
                 const std::vector<OptionField>& fields);

/// Name and text of every line of a config file, whatever options there are.
/// @throws ConfigError for a line of another form or a repeated key; FileError.
std::map<std::string, std::string> read_config_values(const std::filesystem::path& file);

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
