#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace rahf::io {

/// An HDF5 file of tables that grow by rows: arrays of fixed-size rows (compressed, chunked), UTF-8
/// strings, and byte strings of any length. What it writes opens in h5py. Names may hold slashes;
/// groups are made as needed.
///
///     array            dataset NAME [N, row...]
///     strings, bytes   group NAME with attribute `rows` ("strings", "bytes"): dataset `data` [n]
///     u8,
///                      all rows one after another, and `end` [N] i64, where in it each one ends
///
/// Every chunk and all metadata carry checksums: what was damaged cannot be read, and is said so.
///
/// A file that was written is whole once close() has returned. HDF5's library is not thread-safe:
/// all calls of a process take one lock.
class Hdf5File {
 public:
  enum class Mode {
    kRead,    ///< Must exist.
    kCreate,  ///< Replaces what was there.
    kAppend,  ///< Must exist; rows may be added or cut off.
  };

  /// @throws FileError if it cannot be opened, or is not HDF5.
  Hdf5File(const std::filesystem::path& path, Mode mode);
  ~Hdf5File();
  Hdf5File(Hdf5File&&) noexcept;
  Hdf5File& operator=(Hdf5File&&) noexcept;

  /// A table of rows of one shape and type (u8, i32, i64, f32, f64), empty at first.
  /// @param chunk_rows  rows compressed together; reading one row decompresses that many
  void create_array(const std::string& name, torch::Dtype dtype,
                    const std::vector<std::int64_t>& row_shape, std::int64_t chunk_rows);
  void create_strings(const std::string& name);
  void create_bytes(const std::string& name);

  /// @param rows  [n, row_shape...] of the table's type, CPU
  /// @throws ShapeError if it does not fit the table, FileError if writing fails.
  void append(const std::string& name, const torch::Tensor& rows);
  void append(const std::string& name, const std::vector<std::string>& rows);
  void append(const std::string& name, const std::vector<std::vector<std::uint8_t>>& rows);

  /// Rows [begin, end). @throws FileError if there is no such table, or it is of another kind.
  torch::Tensor read(const std::string& name, std::int64_t begin, std::int64_t end) const;
  std::vector<std::string> read_strings(const std::string& name, std::int64_t begin,
                                        std::int64_t end) const;
  std::vector<std::vector<std::uint8_t>> read_bytes(const std::string& name, std::int64_t begin,
                                                    std::int64_t end) const;

  bool has(const std::string& name) const;
  std::int64_t rows(const std::string& name) const;
  /// Of an array: its element type, and the shape of one row.
  torch::Dtype dtype(const std::string& name) const;
  std::vector<std::int64_t> row_shape(const std::string& name) const;
  /// Cuts a table off after `rows` rows.
  void truncate(const std::string& name, std::int64_t rows);

  /// Attributes of a table, or of the file itself with name "/". Setting again replaces.
  void set_attribute(const std::string& name, const std::string& key, const std::string& value);
  void set_attribute(const std::string& name, const std::string& key, std::int64_t value);
  void set_attribute(const std::string& name, const std::string& key, double value);
  bool has_attribute(const std::string& name, const std::string& key) const;
  std::string string_attribute(const std::string& name, const std::string& key) const;
  std::int64_t int_attribute(const std::string& name, const std::string& key) const;
  double double_attribute(const std::string& name, const std::string& key) const;

  /// Writes what is left and ends all use of the file. The destructor does so too, but cannot say
  /// that it failed.
  /// @throws FileError if anything did not reach the disk; the file is then of no use.
  void close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rahf::io
