#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace rahf::generators {

/// A text-to-image pipeline on disk, as diffusers writes it: `model_index.json`, which names the
/// parts, and a folder for each of them (see part_folder.h for those with weights).
/// A value; safe to copy.
class PipelineFolder {
 public:
  /// Reads model_index.json. The parts themselves are read when they are loaded.
  /// @throws FileError if there is none, or it does not name a pipeline's class.
  explicit PipelineFolder(std::filesystem::path folder);

  const std::filesystem::path& path() const { return folder_; }
  /// For example "StableDiffusionPipeline".
  const std::string& class_name() const { return class_name_; }
  bool has(const std::string& part) const { return parts_.contains(part); }
  /// For example "UNet2DConditionModel" for "unet".
  /// @throws FileError naming the parts that there are.
  const std::string& part_class(const std::string& part) const;
  /// The folder of a part.
  /// @throws FileError if the pipeline has no such part, or its folder is missing.
  std::filesystem::path part(const std::string& part) const;

 private:
  std::filesystem::path folder_;
  std::string class_name_;
  std::map<std::string, std::string> parts_;  ///< Name -> class.
};

/// One part as model_index.json names it.
struct PipelinePart {
  std::string name;        ///< For example "unet".
  std::string library;     ///< "diffusers" or "transformers".
  std::string class_name;  ///< For example "UNet2DConditionModel"; empty for a part left out, such
                           ///< as a safety checker.
};

/// Writes model_index.json so that diffusers loads the folder; the parts have to be written
/// besides.
void write_model_index(const std::filesystem::path& folder, const std::string& class_name,
                       const std::vector<PipelinePart>& parts);

}  // namespace rahf::generators
