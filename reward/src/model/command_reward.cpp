#include "rahf/reward/model/command_reward.h"

#include <stdlib.h>
#include <torch/types.h>

#include <cstdio>
#include <memory>
#include <sstream>
#include <system_error>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/image.h"
#include "rahf/core/io/atomic_file.h"
#include "rahf/core/io/csv.h"
#include "rahf/core/io/image_file.h"

namespace rahf::reward {
namespace {

// A folder for one call; gone with everything in it afterwards.
class CallFolder {
 public:
  CallFolder() {
    auto name = (std::filesystem::temp_directory_path() / "rahf-judge-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw FileError("CommandReward: cannot make a folder like " + name);
    }
    path_ = name;
  }
  ~CallFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  CallFolder(const CallFolder&) = delete;
  CallFolder& operator=(const CallFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string quoted(const std::string& text) {
  std::string all = "'";
  for (const char c : text) all += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return all + "'";
}

}  // namespace

CommandReward::CommandReward(Options options) : options_(std::move(options)) {
  if (options_.command.empty() || options_.scores.empty()) {
    throw ConfigError("CommandReward: needs a command and the names of its scores");
  }
}

Judgement CommandReward::judge(const torch::Tensor& images, const Prompts& prompts,
                               const Ask& ask) {
  check_pictures("CommandReward::judge", images, prompts, device_);
  Judgement judgement;
  if (!ask.scores) return judgement;
  const CallFolder folder;
  std::string table = io::csv_line({"picture", "prompt"});
  const auto host = images.detach().cpu();
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "%06zu.png", i);
    io::write_image(folder.path() / name, to_image(host[static_cast<std::int64_t>(i)]));
    table += io::csv_line({name, prompts[i].text});
  }
  io::write_atomically(folder.path() / "pictures.csv", table);

  const auto line = "cd " + quoted(options_.directory.string()) + " && " + options_.command + " " +
                    quoted(folder.path().string());
  FILE* pipe = popen(line.c_str(), "r");
  if (pipe == nullptr) throw Error("CommandReward: cannot start '" + options_.command + "'");
  std::string printed;
  char part[4096];
  for (std::size_t n; (n = fread(part, 1, sizeof part, pipe)) > 0;) printed.append(part, n);
  const int status = pclose(pipe);
  if (status != 0) {
    throw Error("CommandReward: '" + options_.command + "' must end with status 0, got " +
                std::to_string(status > 255 ? status / 256 : status));
  }

  const auto count = static_cast<std::int64_t>(prompts.size());
  const auto kinds = static_cast<std::int64_t>(options_.scores.size());
  std::vector<float> numbers;
  std::istringstream lines(printed);
  for (std::string row; std::getline(lines, row);) {
    if (row.find_first_not_of(" \t\r") == std::string::npos) continue;
    for (auto& c : row) c = c == ',' ? ' ' : c;
    std::istringstream words(row);
    std::int64_t found = 0;
    for (std::string word; words >> word; ++found) {
      char* end = nullptr;
      numbers.push_back(std::strtof(word.c_str(), &end));
      if (*end != '\0') {
        throw Error("CommandReward: '" + options_.command + "' must print numbers, got '" + word +
                    "'");
      }
    }
    if (found != kinds) {
      throw Error("CommandReward: '" + options_.command + "' must print " + std::to_string(kinds) +
                  " numbers a line, got " + std::to_string(found));
    }
  }
  if (static_cast<std::int64_t>(numbers.size()) != count * kinds) {
    throw Error("CommandReward: '" + options_.command + "' must print a line per picture, " +
                std::to_string(count) + ", got " +
                std::to_string(static_cast<std::int64_t>(numbers.size()) / kinds));
  }
  judgement.scores = torch::tensor(numbers).view({count, kinds}).to(device_);
  return judgement;
}

}  // namespace rahf::reward
