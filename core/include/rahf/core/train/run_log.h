#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace rahf::io {
class EventFile;
}

namespace rahf::train {

/// The numbers of a run over its updates: one JSON object a line in `metrics.jsonl`, and
/// TensorBoard event files, both in the run's folder and safe after a kill.
class RunLog {
 public:
  using Values = std::vector<std::pair<std::string, double>>;

  /// @param updates  updates already done; what a killed run wrote behind them is cut off, so that
  ///                 neither the lines nor the events show an update twice
  RunLog(const std::filesystem::path& folder, std::int64_t updates);
  ~RunLog();

  /// A value that is not finite becomes null in the JSON.
  void write(std::int64_t update, const Values& values);

 private:
  std::filesystem::path file_;
  std::unique_ptr<io::EventFile> events_;
};

}  // namespace rahf::train
