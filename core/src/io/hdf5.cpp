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
  Handle(hid_t id, Close close) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }

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

enum class Kind { kArray, kStrings, kBytes };

const char* text(Kind kind) {
  return kind == Kind::kArray ? "an array" : kind == Kind::kStrings ? "strings" : "byte strings";
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

Handle string_type() {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, H5T_VARIABLE);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

Handle bytes_type() { return Handle(H5Tvlen_create(H5T_NATIVE_UINT8), H5Tclose); }

/// Frees what the library allocated for variable-length rows when it read them.
struct Reclaim {
  hid_t type;
  hid_t space;
  void* rows;
  ~Reclaim() { H5Dvlen_reclaim(type, space, H5P_DEFAULT, rows); }
};

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
  Kind kind = Kind::kArray;
  torch::Dtype dtype = torch::kByte;    // Of an array.
  std::vector<std::int64_t> row_shape;  // Of an array.
};

}  // namespace

struct Hdf5File::Impl {
  std::string path;
  Handle file;
  std::map<std::string, Table> tables;  // Kept open: closing one would empty its chunk cache.

  [[noreturn]] void fail(const std::string& name, const std::string& what) const {
    throw FileError(path + ": '" + name + "': " + what + library_message());
  }
  void require(bool ok, const std::string& name, const char* what) const {
    if (!ok) fail(name, what);
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
    if (H5Tis_variable_str(type) > 0) {
      table.kind = Kind::kStrings;
    } else if (H5Tget_class(type) == H5T_VLEN) {
      const Handle base(H5Tget_super(type), H5Tclose);
      require(dtype_of(base) == torch::kByte, name, "must hold u8 if its rows vary in length");
      table.kind = Kind::kBytes;
    } else {
      const auto dtype = dtype_of(type);
      require(dtype.has_value(), name, "must hold u8, i32, i64, f32, f64, strings or bytes");
      table.dtype = *dtype;
    }
    const auto sizes = dims(table, name);
    require(!sizes.empty(), name, "must have rows, but is a scalar");
    require(table.kind == Kind::kArray || sizes.size() == 1, name, "must have one dimension");
    table.row_shape.assign(sizes.begin() + 1, sizes.end());
    return tables.emplace(name, std::move(table)).first->second;
  }

  Table& table(const std::string& name, Kind kind) {
    auto& found = table(name);
    if (found.kind != kind) {
      fail(name, std::string("must hold ") + text(kind) + ", got " + text(found.kind));
    }
    return found;
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
    const Handle link(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
    H5Pset_create_intermediate_group(link, 1);
    H5Pset_char_encoding(link, H5T_CSET_UTF8);
    const Handle made(H5Dcreate2(file, name.c_str(), type, space, link, layout, H5P_DEFAULT),
                      H5Dclose);
    require(made.valid(), name, "cannot be created");
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

  void append(const Table& table, const std::string& name, hid_t type, hsize_t count,
              const void* rows) {
    if (count == 0) return;
    auto size = dims(table, name);
    const auto before = size[0];
    size[0] = before + count;
    require(H5Dset_extent(table.dataset, size.data()) >= 0, name, "cannot grow");
    const auto selection = select(table, name, before, count);
    if (H5Dwrite(table.dataset, type, selection.memory_space, selection.file_space, H5P_DEFAULT,
                 rows) < 0) {
      const auto why = "cannot be written" + library_message();
      size[0] = before;
      H5Dset_extent(table.dataset, size.data());
      H5Eclear2(H5E_DEFAULT);
      fail(name, why);
    }
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

  /// Reads rows of variable length and hands each to `take`.
  template <class Row, class Take>
  void read_rows(const Table& table, const std::string& name, hid_t type, std::int64_t begin,
                 std::int64_t end, const Take& take) const {
    const auto count = checked_range(table, name, begin, end);
    if (count == 0) return;
    std::vector<Row> rows(count);
    const auto selection = select(table, name, static_cast<hsize_t>(begin), count);
    const Reclaim reclaim{type, selection.memory_space, rows.data()};
    require(H5Dread(table.dataset, type, selection.memory_space, selection.file_space, H5P_DEFAULT,
                    rows.data()) >= 0,
            name, "cannot be read");
    for (const auto& row : rows) take(row);
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
    require(attribute.valid() && H5Awrite(attribute, type, value) >= 0, name,
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
    require(read(attribute, space) >= 0, name, (where + "cannot be read").c_str());
  }

  ~Impl() {
    const Session session;
    tables.clear();
    file = Handle();
  }
};

Hdf5File::Hdf5File(const std::filesystem::path& path, Mode mode) : impl_(std::make_unique<Impl>()) {
  const Session session;
  impl_->path = path.string();
  const auto* name = impl_->path.c_str();
  impl_->file =
      Handle(mode == Mode::kCreate
                 ? H5Fcreate(name, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT)
                 : H5Fopen(name, mode == Mode::kRead ? H5F_ACC_RDONLY : H5F_ACC_RDWR, H5P_DEFAULT),
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
  impl_->create(name, string_type(), {}, /*chunk_rows=*/1024, /*compressed=*/false);
}

void Hdf5File::create_bytes(const std::string& name) {
  const Session session;
  impl_->create(name, bytes_type(), {}, /*chunk_rows=*/1024, /*compressed=*/false);
}

void Hdf5File::append(const std::string& name, const torch::Tensor& rows) {
  const Session session;
  const auto& table = impl_->table(name, Kind::kArray);
  if (!rows.defined() || rows.dim() == 0 || rows.sizes().slice(1) != table.row_shape ||
      rows.scalar_type() != table.dtype || !rows.is_cpu()) {
    throw ShapeError(
        impl_->path + ": '" + name + "': rows must be [n, row] with row " +
        listing(table.row_shape) + ' ' + torch::toString(table.dtype) + " on the CPU, got " +
        (rows.defined() ? listing(rows.sizes().vec()) + ' ' + torch::toString(rows.scalar_type())
                        : "an undefined tensor"));
  }
  const auto dense = rows.contiguous();
  impl_->append(table, name, memory_type(table.dtype), static_cast<hsize_t>(rows.size(0)),
                dense.const_data_ptr());
}

void Hdf5File::append(const std::string& name, const std::vector<std::string>& rows) {
  const Session session;
  const auto& table = impl_->table(name, Kind::kStrings);
  std::vector<const char*> pointers;
  for (const auto& row : rows) {
    impl_->require(row.find('\0') == std::string::npos, name, "text must not hold a NUL character");
    pointers.push_back(row.c_str());
  }
  impl_->append(table, name, string_type(), rows.size(), pointers.data());
}

void Hdf5File::append(const std::string& name, const std::vector<std::vector<std::uint8_t>>& rows) {
  const Session session;
  const auto& table = impl_->table(name, Kind::kBytes);
  std::vector<hvl_t> spans;
  // The library reads through these pointers although they are not const.
  for (const auto& row : rows) spans.push_back({row.size(), const_cast<std::uint8_t*>(row.data())});
  impl_->append(table, name, bytes_type(), rows.size(), spans.data());
}

torch::Tensor Hdf5File::read(const std::string& name, std::int64_t begin, std::int64_t end) const {
  const Session session;
  const auto& table = impl_->table(name, Kind::kArray);
  const auto count = impl_->checked_range(table, name, begin, end);
  std::vector<std::int64_t> shape{end - begin};
  std::int64_t numel = end - begin;
  for (const auto size : table.row_shape) {
    shape.push_back(size);
    impl_->require(size >= 0 && !__builtin_mul_overflow(numel, size, &numel), name,
                   "is larger than memory can be");
  }
  torch::Tensor rows;
  try {
    rows = torch::empty(shape, table.dtype);
  } catch (const c10::Error&) {
    impl_->fail(name, "rows of " + listing(shape) + " do not fit into memory");
  }
  if (rows.numel() == 0) return rows;
  const auto selection = impl_->select(table, name, static_cast<hsize_t>(begin), count);
  impl_->require(H5Dread(table.dataset, memory_type(table.dtype), selection.memory_space,
                         selection.file_space, H5P_DEFAULT, rows.data_ptr()) >= 0,
                 name, "cannot be read");
  return rows;
}

std::vector<std::string> Hdf5File::read_strings(const std::string& name, std::int64_t begin,
                                                std::int64_t end) const {
  const Session session;
  const auto& table = impl_->table(name, Kind::kStrings);
  std::vector<std::string> rows;
  const auto take = [&](const char* row) { rows.emplace_back(row == nullptr ? "" : row); };
  // Characters are taken as they are; the library refuses to convert between character sets.
  const Handle type(H5Dget_type(table.dataset), H5Tclose);
  impl_->read_rows<char*>(table, name, type, begin, end, take);
  return rows;
}

std::vector<std::vector<std::uint8_t>> Hdf5File::read_bytes(const std::string& name,
                                                            std::int64_t begin,
                                                            std::int64_t end) const {
  const Session session;
  const auto& table = impl_->table(name, Kind::kBytes);
  std::vector<std::vector<std::uint8_t>> rows;
  impl_->read_rows<hvl_t>(table, name, bytes_type(), begin, end, [&](const hvl_t& row) {
    const auto* data = static_cast<const std::uint8_t*>(row.p);
    rows.emplace_back(data, data + row.len);
  });
  return rows;
}

bool Hdf5File::has(const std::string& name) const {
  const Session session;
  if (!impl_->exists(name)) return false;
  const Handle object(H5Oopen(impl_->file, name.c_str(), H5P_DEFAULT), H5Oclose);
  return H5Iget_type(object) == H5I_DATASET;
}

std::int64_t Hdf5File::rows(const std::string& name) const {
  const Session session;
  return static_cast<std::int64_t>(impl_->dims(impl_->table(name), name)[0]);
}

void Hdf5File::truncate(const std::string& name, std::int64_t rows) {
  const Session session;
  const auto& table = impl_->table(name);
  impl_->checked_range(table, name, 0, rows);
  auto size = impl_->dims(table, name);
  size[0] = static_cast<hsize_t>(rows);
  impl_->require(H5Dset_extent(table.dataset, size.data()) >= 0, name, "cannot be cut off");
}

void Hdf5File::set_attribute(const std::string& name, const std::string& key,
                             const std::string& value) {
  const Session session;
  impl_->require(value.find('\0') == std::string::npos, name,
                 "an attribute must not hold a NUL character");
  const auto* text = value.c_str();
  impl_->set_attribute(name, key, string_type(), &text);
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
  std::string value;
  impl_->read_attribute(
      name, key, "string", [](hid_t type) { return H5Tis_variable_str(type) > 0; },
      [&](hid_t attribute, hid_t space) {
        char* text = nullptr;
        const Handle type(H5Aget_type(attribute), H5Tclose);
        const Reclaim reclaim{type, space, &text};
        const auto status = H5Aread(attribute, type, &text);
        if (text != nullptr) value = text;
        return status;
      });
  return value;
}

std::int64_t Hdf5File::int_attribute(const std::string& name, const std::string& key) const {
  const Session session;
  std::int64_t value = 0;
  impl_->read_attribute(
      name, key, "integer", [](hid_t type) { return H5Tget_class(type) == H5T_INTEGER; },
      [&](hid_t attribute, hid_t) { return H5Aread(attribute, H5T_NATIVE_INT64, &value); });
  return value;
}

double Hdf5File::double_attribute(const std::string& name, const std::string& key) const {
  const Session session;
  double value = 0;
  impl_->read_attribute(
      name, key, "float", [](hid_t type) { return H5Tget_class(type) == H5T_FLOAT; },
      [&](hid_t attribute, hid_t) { return H5Aread(attribute, H5T_NATIVE_DOUBLE, &value); });
  return value;
}

void Hdf5File::flush() {
  const Session session;
  impl_->require(H5Fflush(impl_->file, H5F_SCOPE_GLOBAL) >= 0, "/", "cannot be flushed");
}

}  // namespace rahf::io
