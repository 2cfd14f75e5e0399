#include "rahf/core/io/csv.h"

#include <algorithm>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/utf8.h"
#include "rahf/core/words.h"

namespace rahf::io {
namespace {

// Walks over the text, a field at a time.
class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& name) : text_(text), name_(name) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
  }

  // False at the end of the text. Empty lines are passed over.
  bool next_row(std::vector<std::string>& row, std::size_t& line) {
    while (take_line_end()) {
    }
    row.clear();
    line = line_;
    if (text_.empty()) return false;
    do {
      row.push_back(text_.starts_with('"') ? quoted_field() : plain_field());
    } while (take(','));
    if (!take_line_end() && !text_.empty()) {
      fail(line_, "expected a comma or the line's end after a closing quote");
    }
    return true;
  }

  [[noreturn]] void fail(std::size_t line, const std::string& problem) const {
    throw FileError(name_ + ":" + std::to_string(line) + ": " + problem);
  }

 private:
  bool take(char wanted) {
    if (!text_.starts_with(wanted)) return false;
    text_.remove_prefix(1);
    return true;
  }

  bool take_line_end() {
    if (!text_.starts_with('\n') && !text_.starts_with("\r\n")) return false;
    text_.remove_prefix(text_.front() == '\r' ? 2 : 1);
    ++line_;
    return true;
  }

  std::string plain_field() {
    auto field = text_.substr(0, text_.find_first_of(",\n"));
    if (field.size() < text_.size() && text_[field.size()] == '\n' && field.ends_with('\r')) {
      field.remove_suffix(1);
    }
    if (field.find('"') != field.npos) fail(line_, "a field with a quote in it must be in quotes");
    text_.remove_prefix(field.size());
    return std::string(field);
  }

  std::string quoted_field() {
    const auto first_line = line_;
    std::string field;
    text_.remove_prefix(1);
    for (;;) {
      const auto quote = text_.find('"');
      if (quote == text_.npos) fail(first_line, "a quote is opened and never closed");
      const auto part = text_.substr(0, quote);
      line_ += static_cast<std::size_t>(std::count(part.begin(), part.end(), '\n'));
      field += part;
      text_.remove_prefix(quote + 1);
      if (!take('"')) return field;
      field += '"';
    }
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t line_ = 1;
};

}  // namespace

std::size_t Csv::column(std::string_view title) const {
  const auto it = std::find(header.begin(), header.end(), title);
  if (it == header.end()) {
    throw FileError(name + ":1: the header must name a column '" + std::string(title) +
                    "', got: " + join_words(header));
  }
  return static_cast<std::size_t>(it - header.begin());
}

Csv parse_csv(std::string_view text, const std::string& name) {
  Csv csv{.name = name, .header = {}, .rows = {}, .lines = {}};
  if (const auto at = find_not_utf8(text); at != text.npos) {
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    throw FileError(name + ":" + std::to_string(line) + ": text must be UTF-8, got the byte " +
                    printable(text.substr(at, 1)));
  }
  CsvReader reader(text, name);
  std::size_t line = 1;
  if (!reader.next_row(csv.header, line)) reader.fail(1, "expected a header row, got nothing");
  for (auto title = csv.header.begin(); title != csv.header.end(); ++title) {
    if (std::find(csv.header.begin(), title, *title) != title) {
      reader.fail(line, "the header must name each column once, got '" + *title + "' twice");
    }
  }
  for (std::vector<std::string> row; reader.next_row(row, line);) {
    if (row.size() != csv.header.size()) {
      reader.fail(line, "expected " + std::to_string(csv.header.size()) +
                            " fields as in the header, got " + std::to_string(row.size()));
    }
    csv.rows.push_back(row);
    csv.lines.push_back(line);
  }
  return csv;
}

Csv read_csv(const std::filesystem::path& path) {
  return parse_csv(read_file(path), path.string());
}

std::string csv_line(const std::vector<std::string>& fields) {
  std::string line;
  for (const auto& field : fields) {
    if (&field != &fields.front()) line += ',';
    const bool plain =
        field.find_first_of(",\"\r\n") == field.npos && !(field.empty() && fields.size() == 1);
    if (plain) {
      line += field;
      continue;
    }
    line += '"';
    for (const char c : field) line += c == '"' ? std::string("\"\"") : std::string(1, c);
    line += '"';
  }
  return line + '\n';
}

}  // namespace rahf::io
