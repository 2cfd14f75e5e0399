#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rahf/reward/report/prediction.h"

namespace rahf::program {

/// The pictures that a verb's PICTURE arguments name (a folder stands for all pictures in it, by
/// name), each with its prompt: `prompt` for all, or from the CSV file `prompts`, with columns
/// 'file' (from the CSV's folder) and 'prompt'. Without arguments, all files of the CSV.
/// @param prompts  path, or empty for none
/// @throws UsageError unless exactly one of the two is given, and pictures with it.
/// @throws FileError if the CSV cannot be read, or does not say what a picture's prompt is.
std::vector<reward::PictureRequest> collect_requests(const std::optional<std::string>& prompt,
                                                     const std::string& prompts,
                                                     const std::vector<std::string>& arguments);

}  // namespace rahf::program
