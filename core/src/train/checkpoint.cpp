#include "rahf/core/train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

namespace rahf::train {
namespace {

std::vector<std::int64_t> saved(const std::filesystem::path& folder) {
  std::vector<std::int64_t> all;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const auto stem = entry.path().stem().string();
    std::int64_t updates = 0;
    const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), updates);
    if (entry.path().extension() == ".safetensors" && error == std::errc() &&
        end == stem.data() + stem.size()) {
      all.push_back(updates);
    }
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace

Checkpoints::Checkpoints(std::filesystem::path folder, std::int64_t keep)
    : folder_(std::move(folder)), keep_(std::max<std::int64_t>(keep, 1)) {}

std::optional<std::int64_t> Checkpoints::latest() const {
  const auto all = saved(folder_);
  if (all.empty()) return {};
  return all.back();
}

io::Safetensors Checkpoints::load(std::int64_t updates) const {
  return io::read_safetensors(file(updates));
}

void Checkpoints::save(std::int64_t updates, const io::TensorMap& tensors,
                       const io::Metadata& metadata) {
  io::write_safetensors(file(updates), tensors, metadata);
  auto all = saved(folder_);
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep_) < all.size(); ++i) {
    std::filesystem::remove(file(all[i]));
  }
}

std::filesystem::path Checkpoints::file(std::int64_t updates) const {
  auto name = std::to_string(updates);
  name.insert(0, name.size() < 8 ? 8 - name.size() : 0, '0');
  return folder_ / (name + ".safetensors");
}

}  // namespace rahf::train
