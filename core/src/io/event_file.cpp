#include "rahf/core/io/event_file.h"

#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <vector>

#include "descriptor.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/image_file.h"

namespace rahf::io {
namespace {

const std::string kPrefix = "events.out.tfevents.";

constexpr auto kCrcTable = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    table[i] = i;
    for (int bit = 0; bit < 8; ++bit) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82F63B78 : 0);
  }
  return table;
}();

// Numbers are little-endian in this format, as they are on every machine that LibTorch runs on.
template <class Number>
std::string fixed(Number value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

/// Protocol buffers, as far as events need them.
class Message {
 public:
  Message& number(int field, std::int64_t value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 0);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  Message& real(int field, double value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 1);
    text_ += fixed(value);
    return *this;
  }
  Message& bytes(int field, std::string_view value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 2);
    varint(value.size());
    text_ += value;
    return *this;
  }
  Message& single(int field, float value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 5);
    text_ += fixed(value);
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }

  std::string text_;
};

// Event{1 wall_time, 2 step, 5 Summary{1 value}}; a step of 0 is not written.
std::string summary_event(double wall_seconds, std::int64_t step, const Message& value) {
  Message event;
  event.real(1, wall_seconds);
  if (step != 0) event.number(2, step);
  return event.bytes(5, Message().bytes(1, value.text()).text()).text();
}

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// events.out.tfevents.SECONDS.HOST.PID.N; TensorBoard reads a folder's files in the order of names.
std::filesystem::path file_name(int n) {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  auto seconds = std::to_string(static_cast<std::int64_t>(now()));
  seconds.insert(0, 10 - std::min<std::size_t>(10, seconds.size()), '0');
  return kPrefix + seconds + '.' + host.data() + '.' + std::to_string(::getpid()) + '.' +
         std::to_string(n);
}

std::filesystem::path new_file(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  for (int n = 0;; ++n) {
    const auto path = folder / file_name(n);
    if (!std::filesystem::exists(path, error)) return path;
  }
}

// The step of an event; 0 if it has none. Nothing for bytes that are no event.
std::optional<std::int64_t> step_of(std::string_view event) {
  std::int64_t step = 0;
  const auto varint = [&event]() -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64 && !event.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(event.front());
      event.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  };
  while (!event.empty()) {
    const auto tag = varint();
    if (!tag) return std::nullopt;
    std::uint64_t skip = 0;
    switch (*tag & 7) {
      case 0: {
        const auto value = varint();
        if (!value) return std::nullopt;
        if (*tag >> 3 == 2) step = static_cast<std::int64_t>(*value);
        break;
      }
      case 1:
        skip = 8;
        break;
      case 2: {
        const auto length = varint();
        if (!length) return std::nullopt;
        skip = *length;
        break;
      }
      case 5:
        skip = 4;
        break;
      default:
        return std::nullopt;
    }
    if (skip > event.size()) return std::nullopt;
    event.remove_prefix(skip);
  }
  return step;
}

// What is left of an event file: whole records, none behind `last_step`.
std::string cut(std::string_view file, std::int64_t last_step) {
  constexpr std::size_t kHeader = 12, kFooter = 4;  // length and checksum; checksum
  std::string kept;
  while (file.size() >= kHeader + kFooter) {
    std::uint64_t length = 0;
    std::memcpy(&length, file.data(), sizeof(length));
    if (length > file.size() - kHeader - kFooter) break;
    const auto data = file.substr(kHeader, length);
    if (file.substr(0, kHeader + length + kFooter) != tfrecord(data)) break;
    const auto step = step_of(data);
    if (step && *step <= last_step) kept += tfrecord(data);
    file.remove_prefix(kHeader + length + kFooter);
  }
  return kept;
}

}  // namespace

void cut_event_files(const std::filesystem::path& folder, std::int64_t last_step) {
  std::error_code none;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    if (entry.path().filename().string().starts_with(kPrefix)) files.push_back(entry.path());
  }
  for (const auto& path : files) {
    const auto before = read_file(path);
    const auto after = cut(before, last_step);
    if (after.size() != before.size()) write_atomically(path, after);
  }
}

std::uint32_t masked_crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) {
    crc = kCrcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xFF] ^ crc >> 8;
  }
  crc ^= 0xFFFFFFFF;
  return (crc >> 15 | crc << 17) + 0xA282EAD8;
}

std::string tfrecord(std::string_view data) {
  const auto length = fixed(static_cast<std::uint64_t>(data.size()));
  std::string record = length + fixed(masked_crc32c(length));
  record += data;
  return record + fixed(masked_crc32c(data));
}

std::string version_event(double wall_seconds) {
  return Message().real(1, wall_seconds).bytes(3, "brain.Event:2").text();
}

std::string scalar_event(double wall_seconds, std::int64_t step, std::string_view tag,
                         float value) {
  return summary_event(wall_seconds, step, Message().bytes(1, tag).single(2, value));
}

std::string image_event(double wall_seconds, std::int64_t step, std::string_view tag,
                        const Image& image) {
  constexpr std::int64_t kRgb = 3;
  const auto png = encode_png(image);
  Message picture;
  picture.number(1, image.height).number(2, image.width).number(3, kRgb);
  picture.bytes(4, {reinterpret_cast<const char*>(png.data()), png.size()});
  return summary_event(wall_seconds, step, Message().bytes(1, tag).bytes(4, picture.text()));
}

struct EventFile::Impl {
  explicit Impl(const std::filesystem::path& folder)
      : path(new_file(folder)), file(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND) {}

  void add(const std::string& event) { write_all(file, path, tfrecord(event)); }

  std::filesystem::path path;
  Descriptor file;
};

EventFile::EventFile(const std::filesystem::path& folder) : impl_(std::make_unique<Impl>(folder)) {
  impl_->add(version_event(now()));
}
EventFile::~EventFile() = default;
EventFile::EventFile(EventFile&&) noexcept = default;
EventFile& EventFile::operator=(EventFile&&) noexcept = default;

void EventFile::add_scalar(const std::string& tag, std::int64_t step, double value) {
  impl_->add(scalar_event(now(), step, tag, static_cast<float>(value)));
}

void EventFile::add_image(const std::string& tag, std::int64_t step, const Image& image) {
  impl_->add(image_event(now(), step, tag, image));
}

}  // namespace rahf::io
