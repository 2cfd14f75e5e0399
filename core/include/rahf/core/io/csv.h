#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace rahf::io {

/// A table of text with a header row: comma-separated values as RFC 4180 has them. A field in
/// double quotes may hold commas, line breaks, and quotes written twice.
struct Csv {
  std::string name;                            ///< What error messages call it.
  std::vector<std::string> header;             ///< Names of the columns.
  std::vector<std::vector<std::string>> rows;  ///< As many fields each as there are columns.
  std::vector<std::size_t> lines;              ///< Line in which each row begins, from 1.

  /// @throws FileError naming the columns there are if there is none of this name.
  std::size_t column(std::string_view title) const;
};

/// Lines end in LF or CRLF; empty ones and a byte-order mark are passed over.
/// @param name  what error messages call the text
/// @throws FileError with the line for text that is not UTF-8, broken quoting, a column named twice
///         or a row of another length than the header, and if there is no header.
Csv parse_csv(std::string_view text, const std::string& name);
/// @throws FileError also if the file cannot be read.
Csv read_csv(const std::filesystem::path& path);

/// One line, with its LF; fields are quoted where they need it.
std::string csv_line(const std::vector<std::string>& fields);

}  // namespace rahf::io
