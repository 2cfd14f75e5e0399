#include "rahf/core/options.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <charconv>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

namespace rahf {
namespace {

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t\r") - first + 1));
}

template <class Number>
void read_number(const std::string& text, Number& value, const char* kind) {
  Number parsed{};
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, parsed);
  if (error != std::errc() || stop != end) {
    throw ConfigError(std::string("must be ") + kind + ", got '" + text + "'");
  }
  value = parsed;
}

std::vector<std::string> split_commas(std::string_view text) {
  std::vector<std::string> parts;
  if (trimmed(text).empty()) return parts;
  for (;;) {
    const auto comma = text.find(',');
    parts.push_back(trimmed(text.substr(0, comma)));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

// A value as it stands in a config file: in quotes if it would be read back otherwise.
std::string quoted_if_needed(const std::string& value) {
  if (value == trimmed(value) && value.find_first_of("#\n") == std::string::npos &&
      !value.starts_with('"')) {
    return value;
  }
  std::string text = "\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') text += '\\';
    text += c == '\n' ? "\\n" : std::string(1, c);
  }
  return text + '"';
}

// The value that begins at `text`, without the comment behind it.
std::string unquoted(const std::string& text) {
  if (!text.starts_with('"')) return trimmed(text.substr(0, text.find('#')));
  std::string value;
  std::size_t i = 1;
  for (; i < text.size() && text[i] != '"'; ++i) {
    const bool escaped = text[i] == '\\' && i + 1 < text.size();
    if (escaped) ++i;
    value += escaped && text[i] == 'n' ? '\n' : text[i];
  }
  if (i >= text.size()) throw ConfigError("must end in a quote as it begins with one");
  const auto rest = trimmed(text.substr(i + 1));
  if (!rest.empty() && rest.front() != '#') {
    throw ConfigError("must end at the closing quote, got '" + rest + "' behind it");
  }
  return value;
}

template <class T>
std::string join(const std::vector<T>& values) {
  std::string all;
  for (const auto& value : values) {
    if (!all.empty()) all += ',';
    all += option_text::write(value);
  }
  return all;
}

template <class T>
void read_list(const std::string& text, std::vector<T>& values) {
  std::vector<T> parsed;
  for (const auto& part : split_commas(text)) option_text::read(part, parsed.emplace_back());
  values = std::move(parsed);
}

// Names are `with_underscores` in config files and `--with-dashes` on the command line; each takes
// the other's, too.
std::string with_underscores(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
std::string with_dashes(std::string name) {
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

// The number of an element and where it stands in "stage.2.ema"; 0 if there is none.
struct ElementNumber {
  std::int64_t number = 0;
  std::size_t begin = 0, length = 0;
};
ElementNumber element_number(std::string_view name) {
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos;
       dot = name.find('.', dot + 1)) {
    const auto end = name.find('.', dot + 1);
    if (end == std::string_view::npos) break;
    std::int64_t number = 0;
    const auto [stop, error] = std::from_chars(name.data() + dot + 1, name.data() + end, number);
    if (error == std::errc() && stop == name.data() + end && number > 0) {
      return {number, dot + 1, end - dot - 1};
    }
  }
  return {};
}

// The known name nearest to a misspelt one, or null if none is near.
const OptionField* nearest(const std::vector<OptionField>& fields, const std::string& name) {
  const OptionField* best = nullptr;
  std::size_t best_distance = std::max<std::size_t>(name.size() / 3, 1) + 1;
  for (const auto& field : fields) {
    std::vector<std::size_t> row(field.name.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= name.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j < row.size(); ++j) {
        const auto substitute = diagonal + (name[i - 1] == field.name[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = &field;
    }
  }
  return best;
}

}  // namespace

namespace option_text {

std::string write(bool value) { return value ? "true" : "false"; }
std::string write(std::int64_t value) { return std::to_string(value); }
std::string write(std::uint64_t value) { return std::to_string(value); }
std::string write(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  return {text.data(), end};
}
std::string write(const std::string& value) { return value; }
std::string write(const std::vector<std::string>& value) { return join(value); }
std::string write(const std::vector<double>& value) { return join(value); }
std::string write(const std::vector<std::int64_t>& value) { return join(value); }

void read(const std::string& text, bool& value) {
  if (text == "true" || text == "1" || text == "on" || text == "yes") {
    value = true;
  } else if (text == "false" || text == "0" || text == "off" || text == "no") {
    value = false;
  } else {
    throw ConfigError("must be true or false, got '" + text + "'");
  }
}
void read(const std::string& text, std::int64_t& value) {
  read_number(text, value, "a whole number");
}
void read(const std::string& text, std::uint64_t& value) {
  read_number(text, value, "a whole number that is not negative");
}
void read(const std::string& text, double& value) {
  double parsed = 0;
  read_number(text, parsed, "a number");
  if (!std::isfinite(parsed)) throw ConfigError("must be a finite number, got '" + text + "'");
  value = parsed;
}
void read(const std::string& text, std::string& value) { value = text; }
void read(const std::string& text, std::vector<std::string>& value) { read_list(text, value); }
void read(const std::string& text, std::vector<double>& value) { read_list(text, value); }
void read(const std::string& text, std::vector<std::int64_t>& value) { read_list(text, value); }

}  // namespace option_text

OptionField find_option(const std::vector<OptionField>& fields, std::string_view name) {
  const auto found = [&fields](std::string_view wanted) -> const OptionField* {
    const auto it = std::find_if(fields.begin(), fields.end(),
                                 [&](const OptionField& field) { return field.name == wanted; });
    return it == fields.end() ? nullptr : &*it;
  };
  if (const auto* field = found(name); field != nullptr && !field->element) return *field;
  const auto element = element_number(name);
  if (element.number == 0 || element.number > kMostElements) return {};
  const auto* field = found(list_template(name));
  return field != nullptr && field->element ? field->element(element.number) : OptionField{};
}

std::string list_template(std::string_view name) {
  std::string text(name);
  const auto element = element_number(name);
  return element.number == 0 ? text : text.replace(element.begin, element.length, "N");
}

namespace {

// Visits the fields in the order of a file: a list element by element.
template <class Visit>
void for_written(const std::vector<OptionField>& fields, Visit&& visit) {
  for (std::size_t i = 0; i < fields.size();) {
    if (!fields[i].element) {
      visit(fields[i++]);
      continue;
    }
    const auto list = fields[i].name.substr(0, fields[i].name.find(".N.") + 3);
    auto end = i;
    while (end < fields.size() && fields[end].name.starts_with(list)) ++end;
    for (std::int64_t n = 1; n <= fields[i].count(); ++n) {
      for (auto k = i; k < end; ++k) {
        if (const auto field = fields[k].element(n); field.is_set) visit(field);
      }
    }
    i = end;
  }
}

}  // namespace

std::map<std::string, std::string> option_values(const std::vector<OptionField>& fields) {
  std::map<std::string, std::string> values;
  for_written(fields, [&](const OptionField& field) { values[field.name] = field.get(); });
  return values;
}

std::string write_config(const std::vector<OptionField>& fields) {
  std::string text;
  for_written(fields, [&](const OptionField& field) {
    text += field.name + " = " + quoted_if_needed(field.get()) + '\n';
  });
  return text;
}

void read_config(const std::filesystem::path& file, const std::vector<OptionField>& fields) {
  std::ifstream in(file);
  if (!in) throw FileError(file.string() + ": cannot be opened as a config file");
  read_config(in, file.string(), fields);
}

namespace {

// visit(name, text) for every line; what it throws is given file and line.
template <class Visit>
void for_lines(std::istream& in, const std::string& file_name, Visit&& visit) {
  std::map<std::string, int> first_line;
  int line_number = 0;
  for (std::string line; std::getline(in, line);) {
    ++line_number;
    if (line_number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);  // byte-order mark
    const auto where = file_name + ":" + std::to_string(line_number) + ": ";
    const auto text = trimmed(line);
    if (text.empty() || text.front() == '#') continue;
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals > text.find('#')) {
      throw ConfigError(where + "expected 'name = value', got '" + text + "'");
    }
    const auto name = with_underscores(trimmed(text.substr(0, equals)));
    const auto [it, is_new] = first_line.try_emplace(name, line_number);
    try {
      if (!is_new) {
        throw ConfigError("option '" + name + "' is given twice (first in line " +
                          std::to_string(it->second) + ")");
      }
      visit(name, trimmed(text.substr(equals + 1)));
    } catch (const ConfigError& error) {
      throw ConfigError(where + error.what());
    }
  }
}

}  // namespace

void read_config(std::istream& in, const std::string& file_name,
                 const std::vector<OptionField>& fields) {
  for_lines(in, file_name, [&](const std::string& name, const std::string& text) {
    const auto field = find_option(fields, name);
    if (field.name.empty()) {
      const auto* other = nearest(fields, name);
      throw ConfigError("unknown option '" + name + "'" +
                        (other == nullptr ? "" : " (did you mean '" + other->name + "'?)"));
    }
    try {
      field.set(unquoted(text));
    } catch (const ConfigError& error) {
      throw ConfigError(name + " " + error.what());
    }
  });
}

std::map<std::string, std::string> read_config_values(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) throw FileError(file.string() + ": cannot be opened as a config file");
  std::map<std::string, std::string> values;
  for_lines(in, file.string(), [&](const std::string& name, const std::string& text) {
    values[name] = unquoted(text);
  });
  return values;
}

bool CommandLine::Parsed::was_given(std::string_view name) const {
  return std::find(given.begin(), given.end(), name) != given.end();
}

CommandLine::Parsed CommandLine::parse(const std::vector<std::string>& arguments) const {
  Parsed result;
  // Behind "--" all arguments are positional.
  const auto options_end = std::find(arguments.begin(), arguments.end(), "--");
  result.help = std::any_of(arguments.begin(), options_end, [](const std::string& argument) {
    return argument == "--help" || argument == "-h";
  });
  if (result.help) return result;

  namespace po = boost::program_options;
  po::options_description description;
  auto add = description.add_options();
  add("config", po::value<std::vector<std::string>>());
  std::set<std::string> known;
  const auto make_known = [&](const OptionField& field) {
    if (!known.insert(field.name).second) return;
    auto* value = po::value<std::vector<std::string>>();
    add(field.name.c_str(), field.is_flag ? value->implicit_value({"true"}, "true") : value);
  };
  for (const auto& field : options) {
    if (!field.element) make_known(field);
  }

  std::string config_file;
  std::vector<std::pair<OptionField, std::string>> settings;
  try {
    using namespace po::command_line_style;
    // A flag takes a value only as --flag=false, so that a positional argument may follow it.
    auto joined = arguments;
    for (std::ptrdiff_t i = 0; i < options_end - arguments.begin(); ++i) {
      auto& argument = joined[i];
      if (!argument.starts_with("--")) continue;
      const auto equals = std::min(argument.find('='), argument.size());
      const auto name = with_underscores(argument.substr(2, equals - 2));
      const auto field = find_option(options, name);
      if (field.name.empty()) continue;
      make_known(field);
      const bool is_bare_flag = field.is_flag && equals == argument.size();
      argument = "--" + name + (is_bare_flag ? "=true" : argument.substr(equals));
    }
    const auto parsed = po::command_line_parser(joined)
                            .options(description)
                            .style(allow_long | long_allow_next | long_allow_adjacent)
                            .run();
    std::set<std::string> seen;
    for (const auto& option : parsed.options) {
      if (option.position_key >= 0) {
        if (positional.empty()) {
          throw UsageError("unexpected argument '" + option.value.front() + "'");
        }
        result.arguments.insert(result.arguments.end(), option.value.begin(), option.value.end());
        continue;
      }
      const auto& name = option.string_key;
      if (!seen.insert(name).second) throw UsageError("--" + with_dashes(name) + " is given twice");
      if (name == "config") {
        config_file = option.value.front();
      } else {
        settings.emplace_back(find_option(options, name), option.value.front());
      }
    }
  } catch (const po::unknown_option& error) {
    auto name = error.get_option_name();
    name = name.substr(0, name.find('='));
    name.erase(0, name.find_first_not_of('-'));
    const auto* other = nearest(options, with_underscores(name));
    throw UsageError(
        "unknown option '--" + name + "'" +
        (other == nullptr ? "" : " (did you mean '--" + with_dashes(other->name) + "'?)"));
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }

  if (!config_file.empty()) {
    read_config(config_file, options);
    for (const auto& [name, text] : read_config_values(config_file)) result.given.push_back(name);
  }
  for (const auto& [field, text] : settings) {
    try {
      field.set(text);
    } catch (const UsageError&) {
      throw;
    } catch (const ConfigError& error) {
      throw UsageError("--" + with_dashes(field.name) + " " + error.what());
    }
    result.given.push_back(field.name);
  }
  return result;
}

std::string CommandLine::help() const {
  std::ostringstream text;
  text << "usage: " << usage << "\n\n" << summary << "\n\noptions:\n";
  const auto entry = [&text](const std::string& left, const std::string& right) {
    constexpr std::size_t kColumn = 34;
    text << "  " << left;
    if (left.size() + 2 >= kColumn) {
      text << '\n' << std::string(kColumn, ' ');
    } else {
      text << std::string(kColumn - left.size() - 2, ' ');
    }
    text << right << '\n';
  };
  entry("--config FILE", "reads options from 'name = value' lines; the command line wins");
  for (const auto& field : options) {
    auto left = "--" + with_dashes(field.name);
    if (!field.choices.empty()) {
      left += " " + field.choices;
    } else if (!field.is_flag) {
      left += " VALUE";
    }
    const auto value = field.get();
    entry(left, field.help + (value.empty() ? "" : " [" + value + "]"));
  }
  entry("--help", "prints this text");
  return text.str();
}

}  // namespace rahf
