#include "rahf/core/train/run_log.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/event_file.h"

namespace rahf::train {

RunLog::RunLog(const std::filesystem::path& folder, std::int64_t updates)
    : file_(folder / "metrics.jsonl") {
  std::filesystem::create_directories(folder);
  std::string kept;
  if (std::filesystem::exists(file_)) {
    std::istringstream lines(io::read_file(file_));
    for (std::string line; std::getline(lines, line);) {
      const auto entry = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
      if (!entry.is_object() || entry.value("update", updates + 1) > updates) break;
      kept += line + '\n';
    }
  }
  io::write_atomically(file_, kept);
  io::cut_event_files(folder, updates);
  events_ = std::make_unique<io::EventFile>(folder);
}

RunLog::~RunLog() = default;

void RunLog::write(std::int64_t update, const Values& values) {
  nlohmann::ordered_json entry;
  entry["update"] = update;
  for (const auto& [name, value] : values) {
    entry[name] = value;
    events_->add_scalar(name, update, value);
  }
  std::ofstream out(file_, std::ios::app);
  out << entry.dump() << '\n' << std::flush;
  if (!out) throw FileError(file_.string() + ": cannot be written");
}

}  // namespace rahf::train
