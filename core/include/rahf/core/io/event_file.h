#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "rahf/core/image.h"

namespace rahf::io {

/// A file of numbers and pictures over training steps that TensorBoard shows. Each record reaches
/// the file before the call returns, and readers pass over a record that a kill cut off.
///
/// One file per process start: a resumed run begins another file in the same folder, and
/// TensorBoard joins them. Not thread-safe.
class EventFile {
 public:
  /// Makes the folder if needed and a new file in it.
  /// @throws FileError if that fails; so do all calls when the file cannot be written.
  explicit EventFile(const std::filesystem::path& folder);
  ~EventFile();
  EventFile(EventFile&&) noexcept;
  EventFile& operator=(EventFile&&) noexcept;

  /// @param tag  the curve that the value belongs to, "loss/scores"; TensorBoard groups by what
  ///             stands before the slash
  void add_scalar(const std::string& tag, std::int64_t step, double value);
  void add_image(const std::string& tag, std::int64_t step, const Image& image);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Takes the events behind `last_step`, and a record that a kill cut off, out of all event files of
/// a folder.
/// @throws FileError if a file cannot be written.
void cut_event_files(const std::filesystem::path& folder, std::int64_t last_step);

/// The parts of the format: events (protocol buffers) in records with checksums (TFRecord).

/// CRC-32C (Castagnoli), rotated and shifted as TFRecord stores it.
std::uint32_t masked_crc32c(std::string_view bytes);
/// `data` between its length and the checksums of both.
std::string tfrecord(std::string_view data);
/// The first event of every file.
std::string version_event(double wall_seconds);
std::string scalar_event(double wall_seconds, std::int64_t step, std::string_view tag, float value);
std::string image_event(double wall_seconds, std::int64_t step, std::string_view tag,
                        const Image& image);

}  // namespace rahf::io
