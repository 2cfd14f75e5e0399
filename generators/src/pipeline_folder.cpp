#include "rahf/generators/pipeline_folder.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"

namespace rahf::generators {

namespace {

constexpr const char* kClassName = "_class_name";

}  // namespace

PipelineFolder::PipelineFolder(std::filesystem::path folder) : folder_(std::move(folder)) {
  const auto file = folder_ / "model_index.json";
  if (!std::filesystem::exists(file)) {
    throw FileError(folder_.string() +
                    ": must be a pipeline's folder, but has no model_index.json");
  }
  const auto json = nlohmann::json::parse(io::read_file(file), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains(kClassName) || !json[kClassName].is_string()) {
    throw FileError(file.string() + ": must be a JSON object with the pipeline's _class_name");
  }
  class_name_ = json[kClassName].get<std::string>();
  for (const auto& [name, value] : json.items()) {  // the rest are the pipeline's own settings
    if (value.is_array() && value.size() == 2 && value[1].is_string()) {
      parts_.emplace(name, value[1].get<std::string>());
    }
  }
}

const std::string& PipelineFolder::part_class(const std::string& part) const {
  const auto found = parts_.find(part);
  if (found != parts_.end()) return found->second;
  std::string there;
  for (const auto& [name, class_name] : parts_) there += ' ' + name;
  throw FileError(folder_.string() + ": the pipeline must have a part " + part +
                  ", model_index.json names" + (there.empty() ? " none" : there));
}

std::filesystem::path PipelineFolder::part(const std::string& part) const {
  part_class(part);
  const auto folder = folder_ / part;
  if (!std::filesystem::is_directory(folder)) {
    throw FileError(folder_.string() + ": the folder of the part " + part + " is missing");
  }
  return folder;
}

void write_model_index(const std::filesystem::path& folder, const std::string& class_name,
                       const std::vector<PipelinePart>& parts) {
  nlohmann::ordered_json json = {{kClassName, class_name}, {"_diffusers_version", "0.30.0"}};
  for (const auto& part : parts) {
    json[part.name] = part.class_name.empty()
                          ? nlohmann::ordered_json::array({nullptr, nullptr})
                          : nlohmann::ordered_json::array({part.library, part.class_name});
  }
  io::write_atomically(folder / "model_index.json", json.dump(2) + '\n');
}

}  // namespace rahf::generators
