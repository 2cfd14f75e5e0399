#include "rahf/core/io/hdf5.h"

#include <hdf5.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <sstream>
#include <utility>

#include "rahf/core/error.h"

namespace rahf::io {
namespace {

/// The lock around every use of the library; meanwhile the library prints no errors of its own.
class Session {
 public:
  Session() : lock_(mutex()) {
    // At the end of the process the library would write again what it could not write before, and
    // crash on it. Files are closed where they are used.
    static const herr_t no_exit_handler = H5dont_atexit();
    static_cast<void>(no_exit_handler);
    H5Eget_auto2(H5E_DEFAULT, &print_, &print_data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    H5Eclear2(H5E_DEFAULT);
  }
  ~Session() { H5Eset_auto2(H5E_DEFAULT, print_, print_data_); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  static std::mutex& mutex() {
    static std::mutex the_mutex;
    return the_mutex;
  }

  std::lock_guard<std::mutex> lock_;
  H5E_auto2_t print_ = nullptr;
  void* print_data_ = nullptr;
};

/// Owns one identifier of the library.
class Handle {
 public:
  using Close = herr_t (*)(hid_t);

  Handle() = default;
  Handle(hid_t id, Close how) : id_(id), close_(how) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }

  /// @return whether the library closed it without an error.
  bool close() {
    const auto id = std::exchange(id_, -1);
    return id < 0 || close_(id) >= 0;
  }
  void abandon() { id_ = -1; }
  bool valid() const { return id_ >= 0; }
  operator hid_t() const { return id_; }

 private:
  hid_t id_ = -1;
  Close close_ = nullptr;
};

/// What went wrong deepest inside the library, as " (HDF5: ...)".
std::string library_message() {
  std::string deepest;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* error, void* out) -> herr_t {
        if (n == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
        return 0;
      },
      &deepest);
  return deepest.empty() ? "" : " (HDF5: " + deepest + ")";
}

constexpr std::size_t kChunkCacheBytes = std::size_t{16} << 20;
constexpr unsigned kGzipLevel = 4;

constexpr std::int64_t kFlatChunk = std::int64_t{64} << 10;  // Bytes of rows that vary in length.
constexpr std::int64_t kEndsChunk = 1024;
constexpr const char* kKindAttribute = "rows";

enum class Kind { kArray, kStrings, kBytes };

const char* text(Kind kind) {
  return kind == Kind::kArray ? "an array" : kind == Kind::kStrings ? "strings" : "bytes";
}

hid_t memory_type(torch::Dtype dtype) {
  switch (dtype) {
    case torch::kByte:
      return H5T_NATIVE_UINT8;
    case torch::kInt:
      return H5T_NATIVE_INT32;
    case torch::kLong:
      return H5T_NATIVE_INT64;
    case torch::kFloat:
      return H5T_NATIVE_FLOAT;
    case torch::kDouble:
      return H5T_NATIVE_DOUBLE;
    default:
      return -1;
  }
}

std::optional<torch::Dtype> dtype_of(hid_t type) {
  const auto type_class = H5Tget_class(type);
  const auto size = H5Tget_size(type);
  if (type_class == H5T_FLOAT && size == 4) return torch::kFloat;
  if (type_class == H5T_FLOAT && size == 8) return torch::kDouble;
  if (type_class != H5T_INTEGER) return {};
  const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  if (!is_signed && size == 1) return torch::kByte;
  if (is_signed && size == 4) return torch::kInt;
  if (is_signed && size == 8) return torch::kLong;
  return {};
}

/// Text of a fixed length: what varies in length lies in a heap that has no checksum.
Handle string_type(std::size_t length) {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, std::max<std::size_t>(length, 1));
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

/// How files are opened: new parts in the format whose metadata carries checksums.
Handle file_access() {
  Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  return access;
}

template <class T>
std::string listing(const std::vector<T>& sizes) {
  std::ostringstream out;
  const char* separator = "[";
  for (const auto size : sizes) out << std::exchange(separator, ", ") << size;
  out << (sizes.empty() ? "[]" : "]");
  return out.str();
}

struct Table {
  Handle dataset;
  torch::Dtype dtype = torch::kByte;
  std::vector<std::int64_t> row_shape;
};

}  // namespace

struct Hdf5File::Impl {
  std::string path;
  Handle file;
  std::map<std::string, Table> tables;  // Kept open: closing one would empty its chunk cache.
  bool writable = false;
  bool failed = false;  // A write did not reach the disk: the library cannot close such a file.

  [[noreturn]] void fail(const std::string& name, const std::string& what) const {
    throw FileError(path + ": '" + name + "': " + what + library_message());
  }
  void require(bool ok, const std::string& name, const char* what) const {
    if (!ok) fail(name, what);
  }
  /// The same of what changes the file.
  void require_written(bool ok, const std::string& name, const char* what) {
    failed = failed || (writable && !ok);
    require(ok, name, what);
  }

  /// Every link on the way to `name` exists.
  bool exists(const std::string& name) const {
    if (name.find_first_not_of('/') == std::string::npos) return !name.empty();
    for (auto end = name.find('/', 1);; end = name.find('/', end + 1)) {
      if (H5Lexists(file, name.substr(0, end).c_str(), H5P_DEFAULT) <= 0) return false;
      if (end == std::string::npos || end + 1 == name.size()) return true;
    }
  }

  Handle object(const std::string& name) const {
    Handle opened(exists(name) ? H5Oopen(file, name.c_str(), H5P_DEFAULT) : -1, H5Oclose);
    require(opened.valid(), name, "must exist, but does not");
    return opened;
  }

  /// The dataset, opened with a chunk cache that holds the chunk being appended to.
  Table& table(const std::string& name) {
    if (const auto it = tables.find(name); it != tables.end()) return it->second;
    require(exists(name), name, "must be a table of the file, but there is none of that name");
    const Handle access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
    H5Pset_chunk_cache(access, H5D_CHUNK_CACHE_NSLOTS_DEFAULT, kChunkCacheBytes, 1.0);
    Table table;
    table.dataset = Handle(H5Dopen2(file, name.c_str(), access), H5Dclose);
    require(table.dataset.valid(), name, "must be a table, but cannot be opened as one");

    const Handle type(H5Dget_type(table.dataset), H5Tclose);
    const auto dtype = dtype_of(type);
    require(dtype.has_value(), name, "must hold u8, i32, i64, f32 or f64");
    table.dtype = *dtype;
    const auto sizes = dims(table, name);
    require(!sizes.empty(), name, "must have rows, but is a scalar");
    table.row_shape.assign(sizes.begin() + 1, sizes.end());
    return tables.emplace(name, std::move(table)).first->second;
  }

  Kind kind(const std::string& name) const {
    const auto owner = object(name);
    if (H5Iget_type(owner) == H5I_DATASET) return Kind::kArray;
    if (H5Aexists(owner, kKindAttribute) > 0) {
      const auto value = string_attribute(name, kKindAttribute);
      for (const auto one : {Kind::kStrings, Kind::kBytes}) {
        if (value == text(one)) return one;
      }
    }
    fail(name, "must be a table, but is a group of something else");
  }

  void require_kind(const std::string& name, Kind expected) const {
    require(exists(name), name, "must be a table of the file, but there is none of that name");
    if (const auto found = kind(name); found != expected) {
      fail(name, std::string("must hold ") + text(expected) + ", got " + text(found));
    }
  }

  std::int64_t rows(const std::string& name) {
    require(exists(name), name, "must be a table of the file, but there is none of that name");
    const auto counted = kind(name) == Kind::kArray ? name : name + "/end";
    return static_cast<std::int64_t>(dims(table(counted), counted)[0]);
  }

  std::vector<hsize_t> dims(const Table& table, const std::string& name) const {
    const Handle space(H5Dget_space(table.dataset), H5Sclose);
    const int rank = H5Sget_simple_extent_ndims(space);
    require(rank >= 0, name, "has no readable shape");
    std::vector<hsize_t> sizes(rank);
    if (rank > 0) H5Sget_simple_extent_dims(space, sizes.data(), nullptr);
    return sizes;
  }

  void create(const std::string& name, hid_t type, const std::vector<std::int64_t>& row_shape,
              std::int64_t chunk_rows, bool compressed) {
    require(!exists(name), name, "must be a new name, but exists already");
    std::vector<hsize_t> sizes{0};
    std::vector<hsize_t> limits{H5S_UNLIMITED};
    std::vector<hsize_t> chunk{static_cast<hsize_t>(chunk_rows)};
    for (const auto size : row_shape) {
      for (auto* list : {&sizes, &limits, &chunk}) list->push_back(static_cast<hsize_t>(size));
    }
    const Handle space(
        H5Screate_simple(static_cast<int>(sizes.size()), sizes.data(), limits.data()), H5Sclose);
    const Handle layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    require(H5Pset_chunk(layout, static_cast<int>(chunk.size()), chunk.data()) >= 0, name,
            "cannot have chunks of that size");
    if (compressed) {
      // Grouping bytes by significance helps numbers of several bytes only.
      if (H5Tget_size(type) > 1) H5Pset_shuffle(layout);
      H5Pset_deflate(layout, kGzipLevel);
    }
    H5Pset_fletcher32(layout);  // Of what is on disk: last when writing, first when reading.
    const Handle link(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
    H5Pset_create_intermediate_group(link, 1);
    H5Pset_char_encoding(link, H5T_CSET_UTF8);
    const Handle made(H5Dcreate2(file, name.c_str(), type, space, link, layout, H5P_DEFAULT),
                      H5Dclose);
    require_written(made.valid(), name, "cannot be created");
  }

  void create_flat(const std::string& name, Kind kind) {
    require(!exists(name), name, "must be a new name, but exists already");
    // Text is worth compressing; what comes as bytes is compressed already.
    create(name + "/data", H5T_NATIVE_UINT8, {}, kFlatChunk, kind == Kind::kStrings);
    create(name + "/end", H5T_NATIVE_INT64, {}, kEndsChunk, /*compressed=*/true);
    const std::string value = text(kind);
    set_attribute(name, kKindAttribute, string_type(value.size()), value.c_str());
  }

  void truncate(const std::string& name, std::int64_t rows) {
    const auto& table = this->table(name);
    auto size = dims(table, name);
    size[0] = static_cast<hsize_t>(rows);
    require_written(H5Dset_extent(table.dataset, size.data()) >= 0, name, "cannot be cut off");
  }

  /// Rows [begin, begin + count) of the dataset as a selection, and memory of the same shape.
  struct Selection {
    Handle file_space;
    Handle memory_space;
  };
  Selection select(const Table& table, const std::string& name, hsize_t begin,
                   hsize_t count) const {
    auto size = dims(table, name);
    std::vector<hsize_t> start(size.size(), 0);
    start[0] = begin;
    size[0] = count;
    Selection selection{
        Handle(H5Dget_space(table.dataset), H5Sclose),
        Handle(H5Screate_simple(static_cast<int>(size.size()), size.data(), nullptr), H5Sclose)};
    require(H5Sselect_hyperslab(selection.file_space, H5S_SELECT_SET, start.data(), nullptr,
                                size.data(), nullptr) >= 0,
            name, "cannot select rows");
    return selection;
  }

  void append(const std::string& name, const torch::Tensor& rows) {
    const auto& table = this->table(name);
    if (!rows.defined() || rows.dim() == 0 || rows.sizes().slice(1) != table.row_shape ||
        rows.scalar_type() != table.dtype || !rows.is_cpu()) {
      throw ShapeError(
          path + ": '" + name + "': rows must be [n, row] with row " + listing(table.row_shape) +
          ' ' + torch::toString(table.dtype) + " on the CPU, got " +
          (rows.defined() ? listing(rows.sizes().vec()) + ' ' + torch::toString(rows.scalar_type())
                          : "an undefined tensor"));
    }
    if (rows.size(0) == 0) return;
    const auto dense = rows.contiguous();
    auto size = dims(table, name);
    const auto before = size[0];
    size[0] = before + static_cast<hsize_t>(rows.size(0));
    require_written(H5Dset_extent(table.dataset, size.data()) >= 0, name, "cannot grow");
    const auto selection = select(table, name, before, static_cast<hsize_t>(rows.size(0)));
    require_written(H5Dwrite(table.dataset, memory_type(table.dtype), selection.memory_space,
                             selection.file_space, H5P_DEFAULT, dense.const_data_ptr()) >= 0,
                    name, "cannot be written");
  }

  /// Rows that vary in length: all bytes one after another, and where each row ends.
  template <class Row>
  void append_flat(const std::string& name, Kind kind, const std::vector<Row>& rows) {
    require_kind(name, kind);
    std::size_t bytes = 0;
    for (const auto& row : rows) bytes += row.size();
    auto data = torch::empty({static_cast<std::int64_t>(bytes)}, torch::kByte);
    const torch::Tensor ends = torch::empty({std::ssize(rows)}, torch::kLong);
    auto* end_of = ends.data_ptr<std::int64_t>();
    auto* to = data.data_ptr<std::uint8_t>();
    auto end = this->rows(name + "/data");
    for (std::size_t i = 0; i < rows.size(); ++i) {
      to = std::copy(rows[i].begin(), rows[i].end(), to);
      end_of[i] = end += std::ssize(rows[i]);
    }
    append(name + "/data", data);
    append(name + "/end", ends);
  }

  torch::Tensor read(const std::string& name, std::int64_t begin, std::int64_t end) {
    const auto& table = this->table(name);
    const auto count = checked_range(table, name, begin, end);
    std::vector<std::int64_t> shape{end - begin};
    std::int64_t numel = end - begin;
    for (const auto size : table.row_shape) {
      shape.push_back(size);
      require(size >= 0 && !__builtin_mul_overflow(numel, size, &numel), name,
              "is larger than memory can be");
    }
    torch::Tensor rows;
    try {
      rows = torch::empty(shape, table.dtype);
    } catch (const c10::Error&) {
      fail(name, "rows of " + listing(shape) + " do not fit into memory");
    }
    if (rows.numel() == 0) return rows;
    const auto selection = select(table, name, static_cast<hsize_t>(begin), count);
    require(H5Dread(table.dataset, memory_type(table.dtype), selection.memory_space,
                    selection.file_space, H5P_DEFAULT, rows.data_ptr()) >= 0,
            name, "cannot be read");
    return rows;
  }

  /// Where rows [begin, end) end in the data, after where the first of them begins.
  std::vector<std::int64_t> bounds(const std::string& name, std::int64_t begin, std::int64_t end) {
    const auto ends = name + "/end";
    const auto& table = this->table(ends);
    require(table.dtype == torch::kLong && table.row_shape.empty(), ends, "must be [N] i64");
    const auto total = rows(name + "/data");
    checked_range(table, ends, begin, end);
    std::vector<std::int64_t> all{0};
    const auto first = std::max<std::int64_t>(begin - 1, 0);
    if (begin > 0) all.clear();
    const auto read = this->read(ends, first, end);
    all.insert(all.end(), read.const_data_ptr<std::int64_t>(),
               read.const_data_ptr<std::int64_t>() + read.numel());
    require(all.front() >= 0 && all.back() <= total && std::is_sorted(all.begin(), all.end()), ends,
            "must rise, and end with the data");
    return all;
  }

  template <class Row>
  std::vector<Row> read_flat(const std::string& name, Kind kind, std::int64_t begin,
                             std::int64_t end) {
    require_kind(name, kind);
    std::vector<Row> rows;
    const auto limits = bounds(name, begin, end);
    const auto data_name = name + "/data";
    const auto& table = this->table(data_name);
    require(table.dtype == torch::kByte && table.row_shape.empty(), data_name, "must be [n] u8");
    const auto data = read(data_name, limits.front(), limits.back());
    const auto* bytes = data.const_data_ptr<std::uint8_t>();
    for (std::size_t i = 1; i < limits.size(); ++i) {
      rows.emplace_back(bytes + (limits[i - 1] - limits[0]), bytes + (limits[i] - limits[0]));
    }
    return rows;
  }

  hsize_t checked_range(const Table& table, const std::string& name, std::int64_t begin,
                        std::int64_t end) const {
    const auto rows = static_cast<std::int64_t>(dims(table, name)[0]);
    if (begin < 0 || end < begin || end > rows) {
      fail(name, "rows must lie in [0, " + std::to_string(rows) + "), got [" +
                     std::to_string(begin) + ", " + std::to_string(end) + ")");
    }
    return static_cast<hsize_t>(end - begin);
  }

  void set_attribute(const std::string& name, const std::string& key, hid_t type,
                     const void* value) {
    const auto owner = object(name);
    if (H5Aexists(owner, key.c_str()) > 0) H5Adelete(owner, key.c_str());
    const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
    const Handle creation(H5Pcreate(H5P_ATTRIBUTE_CREATE), H5Pclose);
    H5Pset_char_encoding(creation, H5T_CSET_UTF8);
    const Handle attribute(H5Acreate2(owner, key.c_str(), type, space, creation, H5P_DEFAULT),
                           H5Aclose);
    require_written(attribute.valid() && H5Awrite(attribute, type, value) >= 0, name,
                    ("attribute '" + key + "' cannot be written").c_str());
  }

  /// Opens a scalar attribute whose type satisfies `fits`, and hands it to `read`.
  template <class Fits, class Read>
  void read_attribute(const std::string& name, const std::string& key, const char* kind,
                      const Fits& fits, const Read& read) const {
    const auto where = "attribute '" + key + "' ";
    const auto owner = object(name);
    require(H5Aexists(owner, key.c_str()) > 0, name, (where + "must exist").c_str());
    const Handle attribute(H5Aopen(owner, key.c_str(), H5P_DEFAULT), H5Aclose);
    const Handle type(H5Aget_type(attribute), H5Tclose);
    const Handle space(H5Aget_space(attribute), H5Sclose);
    require(type.valid() && fits(type) && H5Sget_simple_extent_npoints(space) == 1, name,
            (where + "must be one " + kind).c_str());
    require(read(attribute) >= 0, name, (where + "cannot be read").c_str());
  }

  std::string string_attribute(const std::string& name, const std::string& key) const {
    std::string value;
    read_attribute(
        name, key, "string",
        [](hid_t type) {
          return H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0;
        },
        [&](hid_t attribute) {
          const Handle type(H5Aget_type(attribute), H5Tclose);
          value.resize(H5Tget_size(type));
          return H5Aread(attribute, type, value.data());
        });
    value.resize(std::min(value.find('\0'), value.size()));
    return value;
  }

  /// @return whether everything reached the file.
  bool close() {
    bool ok = !failed && (!writable || H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0);
    if (!ok) {  // Closing would fail too, and leave the library in pieces: leave it all open.
      for (auto& [name, table] : tables) table.dataset.abandon();
      file.abandon();
    }
    for (auto& [name, table] : tables) ok = table.dataset.close() && ok;
    tables.clear();
    return file.close() && ok;
  }

  ~Impl() {
    const Session session;
    if (file.valid()) close();
  }
};

Hdf5File::Hdf5File(const std::filesystem::path& path, Mode mode) : impl_(std::make_unique<Impl>()) {
  const Session session;
  impl_->path = path.string();
  const auto* name = impl_->path.c_str();
  impl_->writable = mode != Mode::kRead;
  const auto access = file_access();
  impl_->file =
      Handle(mode == Mode::kCreate
                 ? H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, access)
                 : H5Fopen(name, mode == Mode::kRead ? H5F_ACC_RDONLY : H5F_ACC_RDWR, access),
             H5Fclose);
  if (impl_->file.valid()) return;
  throw FileError(impl_->path + ": " +
                  (mode == Mode::kCreate ? "cannot be created" : "cannot be opened as HDF5") +
                  library_message());
}
Hdf5File::~Hdf5File() = default;
Hdf5File::Hdf5File(Hdf5File&&) noexcept = default;
Hdf5File& Hdf5File::operator=(Hdf5File&&) noexcept = default;

void Hdf5File::create_array(const std::string& name, torch::Dtype dtype,
                            const std::vector<std::int64_t>& row_shape, std::int64_t chunk_rows) {
  const Session session;
  const auto type = memory_type(dtype);
  if (type < 0) {
    throw ShapeError(impl_->path + ": '" + name + "': must be u8, i32, i64, f32 or f64, got " +
                     torch::toString(dtype));
  }
  const auto positive = [](std::int64_t size) { return size > 0; };
  if (!positive(chunk_rows) || !std::all_of(row_shape.begin(), row_shape.end(), positive)) {
    throw ShapeError(impl_->path + ": '" + name + "': sizes must be positive, got rows of " +
                     listing(row_shape) + " in chunks of " + std::to_string(chunk_rows));
  }
  impl_->create(name, type, row_shape, chunk_rows, /*compressed=*/true);
}

void Hdf5File::create_strings(const std::string& name) {
  const Session session;
  impl_->create_flat(name, Kind::kStrings);
}

void Hdf5File::create_bytes(const std::string& name) {
  const Session session;
  impl_->create_flat(name, Kind::kBytes);
}

void Hdf5File::append(const std::string& name, const torch::Tensor& rows) {
  const Session session;
  impl_->require_kind(name, Kind::kArray);
  impl_->append(name, rows);
}

void Hdf5File::append(const std::string& name, const std::vector<std::string>& rows) {
  const Session session;
  impl_->append_flat(name, Kind::kStrings, rows);
}

void Hdf5File::append(const std::string& name, const std::vector<std::vector<std::uint8_t>>& rows) {
  const Session session;
  impl_->append_flat(name, Kind::kBytes, rows);
}

torch::Tensor Hdf5File::read(const std::string& name, std::int64_t begin, std::int64_t end) const {
  const Session session;
  impl_->require_kind(name, Kind::kArray);
  return impl_->read(name, begin, end);
}

std::vector<std::string> Hdf5File::read_strings(const std::string& name, std::int64_t begin,
                                                std::int64_t end) const {
  const Session session;
  return impl_->read_flat<std::string>(name, Kind::kStrings, begin, end);
}

std::vector<std::vector<std::uint8_t>> Hdf5File::read_bytes(const std::string& name,
                                                            std::int64_t begin,
                                                            std::int64_t end) const {
  const Session session;
  return impl_->read_flat<std::vector<std::uint8_t>>(name, Kind::kBytes, begin, end);
}

bool Hdf5File::has(const std::string& name) const {
  const Session session;
  if (!impl_->exists(name)) return false;
  const Handle object(H5Oopen(impl_->file, name.c_str(), H5P_DEFAULT), H5Oclose);
  return H5Iget_type(object) == H5I_DATASET || H5Aexists(object, kKindAttribute) > 0;
}

std::int64_t Hdf5File::rows(const std::string& name) const {
  const Session session;
  return impl_->rows(name);
}

torch::Dtype Hdf5File::dtype(const std::string& name) const {
  const Session session;
  impl_->require_kind(name, Kind::kArray);
  return impl_->table(name).dtype;
}

std::vector<std::int64_t> Hdf5File::row_shape(const std::string& name) const {
  const Session session;
  impl_->require_kind(name, Kind::kArray);
  return impl_->table(name).row_shape;
}

void Hdf5File::truncate(const std::string& name, std::int64_t rows) {
  const Session session;
  if (const auto all = impl_->rows(name); rows < 0 || rows > all) {
    impl_->fail(name,
                "rows must lie in [0, " + std::to_string(all) + "], got " + std::to_string(rows));
  }
  if (impl_->kind(name) == Kind::kArray) {
    impl_->truncate(name, rows);
  } else {
    const auto bytes = rows == 0 ? 0 : impl_->bounds(name, rows - 1, rows).back();
    impl_->truncate(name + "/end", rows);
    impl_->truncate(name + "/data", bytes);
  }
}

void Hdf5File::set_attribute(const std::string& name, const std::string& key,
                             const std::string& value) {
  const Session session;
  impl_->require(value.find('\0') == std::string::npos, name,
                 "an attribute must not hold a NUL character");
  impl_->set_attribute(name, key, string_type(value.size()), value.c_str());
}

void Hdf5File::set_attribute(const std::string& name, const std::string& key, std::int64_t value) {
  const Session session;
  impl_->set_attribute(name, key, H5T_NATIVE_INT64, &value);
}

void Hdf5File::set_attribute(const std::string& name, const std::string& key, double value) {
  const Session session;
  impl_->set_attribute(name, key, H5T_NATIVE_DOUBLE, &value);
}

bool Hdf5File::has_attribute(const std::string& name, const std::string& key) const {
  const Session session;
  return H5Aexists(impl_->object(name), key.c_str()) > 0;
}

std::string Hdf5File::string_attribute(const std::string& name, const std::string& key) const {
  const Session session;
  return impl_->string_attribute(name, key);
}

std::int64_t Hdf5File::int_attribute(const std::string& name, const std::string& key) const {
  const Session session;
  std::int64_t value = 0;
  impl_->read_attribute(
      name, key, "integer", [](hid_t type) { return H5Tget_class(type) == H5T_INTEGER; },
      [&](hid_t attribute) { return H5Aread(attribute, H5T_NATIVE_INT64, &value); });
  return value;
}

double Hdf5File::double_attribute(const std::string& name, const std::string& key) const {
  const Session session;
  double value = 0;
  impl_->read_attribute(
      name, key, "float", [](hid_t type) { return H5Tget_class(type) == H5T_FLOAT; },
      [&](hid_t attribute) { return H5Aread(attribute, H5T_NATIVE_DOUBLE, &value); });
  return value;
}

void Hdf5File::close() {
  const Session session;
  if (!impl_->file.valid()) return;
  if (!impl_->close()) {
    throw FileError(impl_->path + ": cannot be written to its end" + library_message());
  }
}

}  // namespace rahf::io
