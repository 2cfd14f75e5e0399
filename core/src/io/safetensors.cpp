#include "rahf/core/io/safetensors.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <vector>

#include "descriptor.h"
#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"

namespace rahf::io {

namespace fs = std::filesystem;

/// A file mapped into memory, to be read only.
class Safetensors::Map {
 public:
  explicit Map(const fs::path& path) {
    const Descriptor file(path, O_RDONLY);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) fail_with_errno(path, "cannot be examined");
    if (!S_ISREG(status.st_mode)) throw FileError(path.string() + ": must be a regular file");
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ == 0) return;
    data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (data_ == MAP_FAILED) fail_with_errno(path, "cannot be mapped");
  }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;
  ~Map() {
    if (size_ > 0) ::munmap(data_, size_);
  }
  /// Forgets the whole pages of a part.
  void release(const char* begin, const char* end) const {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto first = (reinterpret_cast<std::uintptr_t>(begin) + page - 1) / page * page;
    const auto last = reinterpret_cast<std::uintptr_t>(end) / page * page;
    if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
  std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

namespace {

using Json = nlohmann::json;
using Map = Safetensors::Map;

static_assert(std::endian::native == std::endian::little,
              "the format stores little-endian numbers");

constexpr std::uint64_t kMaxHeader = 100'000'000;
constexpr const char* kMetadata = "__metadata__";

struct DtypeName {
  torch::Dtype dtype;
  std::string_view name;
};
// From the last to the first, as the reference implementation orders tensors in a file.
constexpr DtypeName kDtypes[] = {
    {torch::kBool, "BOOL"},
    {torch::kByte, "U8"},
    {torch::kChar, "I8"},
    {torch::kFloat8_e5m2, "F8_E5M2"},
    {torch::kFloat8_e4m3fn, "F8_E4M3"},
    {torch::kFloat8_e8m0fnu, "F8_E8M0"},
    {torch::kShort, "I16"},
    {torch::kUInt16, "U16"},
    {torch::kHalf, "F16"},
    {torch::kBFloat16, "BF16"},
    {torch::kInt, "I32"},
    {torch::kUInt32, "U32"},
    {torch::kFloat, "F32"},
    {torch::kComplexFloat, "C64"},
    {torch::kDouble, "F64"},
    {torch::kLong, "I64"},
    {torch::kUInt64, "U64"},
};

/// One entry of the header, checked by itself.
struct Entry {
  std::string name;
  torch::Dtype dtype = torch::kFloat;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Reads the header; every problem names the file.
class Header {
 public:
  explicit Header(const fs::path& path) : where_(path.string() + ": ") {}

  /// Parses JSON in which no key comes twice, as only one of the two could be heeded.
  Json parse(std::string_view text) const {
    std::vector<std::set<std::string>> keys;
    const auto check = [&](int, Json::parse_event_t event, Json& value) {
      if (event == Json::parse_event_t::object_start) keys.emplace_back();
      if (event == Json::parse_event_t::object_end) keys.pop_back();
      if (event == Json::parse_event_t::key) {
        const auto& key = value.get_ref<const std::string&>();
        if (!keys.back().insert(key).second) fail("the key '" + key + "' is there twice");
      }
      return true;
    };
    try {
      return Json::parse(text, check);
    } catch (const Json::exception& error) {
      fail(std::string("broken JSON (") + error.what() + ')');
    }
  }

  Metadata metadata(const Json& value) const {
    Metadata metadata;
    if (!value.is_object()) fail("__metadata__ must be an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) fail("__metadata__ must map to strings, '" + key + "' does not");
      metadata[key] = text.get<std::string>();
    }
    return metadata;
  }

  Entry entry(const std::string& name, const Json& value) const {
    const auto require = [&](bool ok, const char* what) {
      if (!ok) fail("tensor '" + name + "' " + what);
    };
    require(value.is_object() && value.contains("dtype") && value["dtype"].is_string() &&
                value.contains("shape") && value["shape"].is_array() &&
                value.contains("data_offsets") && value["data_offsets"].is_array() &&
                value["data_offsets"].size() == 2,
            "must have dtype, shape and two data_offsets");
    Entry entry{.name = name, .shape = {}};
    const auto& dtype = value["dtype"].get_ref<const std::string&>();
    const auto* known = std::find_if(std::begin(kDtypes), std::end(kDtypes),
                                     [&](const DtypeName& pair) { return pair.name == dtype; });
    if (known == std::end(kDtypes)) fail("tensor '" + name + "' has an unknown dtype " + dtype);
    entry.dtype = known->dtype;

    std::uint64_t bytes = c10::elementSize(entry.dtype);
    std::int64_t extent = 1;  // As if no size were 0, since strides are computed so.
    for (const auto& size : value["shape"]) {
      require(is_natural(size), "must have a shape of whole numbers");
      const auto count = size.get<std::uint64_t>();
      require(!__builtin_mul_overflow(bytes, count, &bytes) &&
                  !__builtin_mul_overflow(extent, std::max<std::uint64_t>(count, 1), &extent),
              "is larger than any file");
      entry.shape.push_back(static_cast<std::int64_t>(count));
    }
    const auto& offsets = value["data_offsets"];
    require(is_natural(offsets[0]) && is_natural(offsets[1]), "must have whole numbers as offsets");
    entry.begin = offsets[0].get<std::uint64_t>();
    entry.end = offsets[1].get<std::uint64_t>();
    require(entry.begin <= entry.end, "ends before it begins");
    if (entry.end - entry.begin != bytes) {
      fail("tensor '" + name + "' needs " + std::to_string(bytes) + " bytes, its offsets give " +
           std::to_string(entry.end - entry.begin));
    }
    return entry;
  }

  [[noreturn]] void fail(const std::string& what) const { throw FileError(where_ + what); }

 private:
  static bool is_natural(const Json& value) { return value.is_number_unsigned(); }

  std::string where_;
};

// A tensor over `content`, part of the map, which the tensor keeps alive.
torch::Tensor view(const std::shared_ptr<const Map>& map, std::string_view content,
                   const Entry& entry) {
  const auto aligned =
      reinterpret_cast<std::uintptr_t>(content.data()) % c10::elementSize(entry.dtype) == 0;
  if (aligned && !content.empty()) {
    return torch::from_blob(
        const_cast<char*>(content.data()), entry.shape, [map](void*) {}, entry.dtype);
  }
  // Only other writers place numbers at odd addresses; those have to be moved.
  auto moved = torch::empty(entry.shape, entry.dtype);
  if (!content.empty()) std::memcpy(moved.data_ptr(), content.data(), content.size());
  return moved;
}

}  // namespace

void Safetensors::release(const torch::Tensor& tensor) const {
  if (!tensor.is_cpu() || tensor.numel() == 0) return;
  const auto* begin = static_cast<const char*>(tensor.const_data_ptr());
  for (const auto& map : maps) {
    const auto bytes = map->bytes();
    if (begin >= bytes.data() && begin < bytes.data() + bytes.size()) {
      map->release(begin, begin + tensor.nbytes());
    }
  }
}

Safetensors read_safetensors(const fs::path& file) {
  const Header header(file);
  const auto map = std::make_shared<const Map>(file);
  const auto bytes = map->bytes();
  constexpr std::size_t kPrefix = 8;
  if (bytes.size() < kPrefix) header.fail("is too short for a safetensors file");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kPrefix);
  if (length > kMaxHeader) header.fail("the header claims " + std::to_string(length) + " bytes");
  if (length > bytes.size() - kPrefix) header.fail("is cut off in the header");
  const auto text = bytes.substr(kPrefix, length);
  if (!text.starts_with('{')) header.fail("the header must be a JSON object");

  Safetensors result{.tensors = {}, .metadata = {}, .maps = {map}};
  std::vector<Entry> entries;
  const auto json = header.parse(text);
  for (const auto& [name, value] : json.items()) {
    if (name == kMetadata) {
      result.metadata = header.metadata(value);
    } else {
      entries.push_back(header.entry(name, value));
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t at = 0;
  for (const auto& entry : entries) {
    if (entry.begin != at) {
      header.fail("tensor '" + entry.name + "' must begin at byte " + std::to_string(at) +
                  " of the data, got " + std::to_string(entry.begin) + " (a hole or an overlap)");
    }
    at = entry.end;
  }
  const auto available = bytes.size() - kPrefix - length;
  if (at != available) {
    header.fail("must hold " + std::to_string(at) + " bytes of data, got " +
                std::to_string(available));
  }
  const auto data = bytes.substr(kPrefix + length);
  for (const auto& entry : entries) {
    const auto content = data.substr(entry.begin, entry.end - entry.begin);
    if (entry.dtype == torch::kBool && std::any_of(content.begin(), content.end(), [](char byte) {
          return byte != 0 && byte != 1;
        })) {
      header.fail("tensor '" + entry.name + "' must hold only 0 and 1, as its dtype is BOOL");
    }
    result.tensors[entry.name] = view(map, content, entry);
  }
  return result;
}

Safetensors read_weights(const fs::path& folder, const std::string& name) {
  const auto file = [&](const std::string& end) { return folder / (name + end); };
  std::error_code unreadable;
  fs::path index_path;
  for (const std::string variant : {"", ".fp16"}) {
    const auto single = file(variant + ".safetensors");
    if (fs::exists(single, unreadable)) return read_safetensors(single);
    index_path = file(".safetensors.index" + variant + ".json");
    if (fs::exists(index_path, unreadable)) break;
    index_path.clear();
  }
  if (index_path.empty()) {
    throw FileError(folder.string() + ": must hold " + file(".safetensors").filename().string() +
                    " or " + file(".safetensors.index.json").filename().string() + ", has neither");
  }
  const Header header(index_path);
  const auto index = header.parse(read_file(index_path));
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    header.fail("must have an object weight_map");
  }
  std::map<std::string, std::vector<std::string>> names_by_file;
  for (const auto& [key, value] : index["weight_map"].items()) {
    if (!value.is_string()) header.fail("'" + key + "' must map to a file name");
    const auto& shard = value.get_ref<const std::string&>();
    if (shard.empty() || shard == "." || shard == ".." || fs::path(shard).filename() != shard ||
        shard.find('\0') != std::string::npos) {
      header.fail("'" + key + "' must map to a file of this folder, got '" + shard + "'");
    }
    names_by_file[shard].push_back(key);
  }
  Safetensors all;
  for (const auto& [shard_name, names] : names_by_file) {
    auto shard = read_safetensors(folder / shard_name);
    for (const auto& key : names) {
      const auto found = shard.tensors.find(key);
      if (found == shard.tensors.end())
        header.fail("'" + key + "' must be in " + shard_name + ", is not");
      all.tensors.insert(*found);
    }
    all.metadata.merge(shard.metadata);
    all.maps.insert(all.maps.end(), shard.maps.begin(), shard.maps.end());
  }
  return all;
}

void write_safetensors(const fs::path& file, const TensorMap& tensors, const Metadata& metadata) {
  struct Item {
    std::ptrdiff_t rank;  // Of the dtype.
    std::string name;
    torch::Tensor tensor;
  };
  std::vector<Item> items;
  for (const auto& [name, tensor] : tensors) {
    const auto where = file.string() + ": tensor '" + name + "' ";
    if (!tensor.defined()) throw FileError(where + "is undefined");
    if (name == kMetadata) throw FileError(where + "has a name that the format reserves");
    const auto* known =
        std::find_if(std::begin(kDtypes), std::end(kDtypes),
                     [&](const DtypeName& pair) { return pair.dtype == tensor.scalar_type(); });
    if (known == std::end(kDtypes)) {
      throw FileError(where + "has a dtype that the format does not know: " +
                      torch::toString(tensor.scalar_type()));
    }
    items.push_back({known - std::begin(kDtypes), name, tensor.detach().cpu().contiguous()});
  }
  // Wide types first keeps every tensor aligned. The map is sorted by name already.
  std::stable_sort(items.begin(), items.end(),
                   [](const Item& a, const Item& b) { return a.rank > b.rank; });

  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[kMetadata] = metadata;
  std::size_t at = 0;
  for (const auto& item : items) {
    const auto end = at + item.tensor.nbytes();
    header[item.name] = {{"dtype", kDtypes[item.rank].name},
                         {"shape", item.tensor.sizes().vec()},
                         {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception& error) {
    throw FileError(file.string() + ": names and metadata must be UTF-8 (" + error.what() + ')');
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();

  replace_atomically(file, [&](const fs::path& temporary) {
    const Descriptor out(temporary, O_WRONLY | O_CREAT | O_EXCL);
    write_all(out, file, {reinterpret_cast<const char*>(&length), sizeof length});
    write_all(out, file, text);
    for (const auto& item : items) {
      write_all(out, file,
                {static_cast<const char*>(item.tensor.const_data_ptr()), item.tensor.nbytes()});
    }
  });
}

}  // namespace rahf::io
