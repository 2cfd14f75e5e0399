#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "side_by_side.h"

namespace rahf::program {

/// What a finetuning run gave.
struct Finetuned {
  std::string objective;
  std::string model;             ///< Folder of the finetuned generator; empty if there was no run.
  nlohmann::ordered_json facts;  ///< Updates, pictures, seconds, rewards before and after.
  std::vector<SideBySide> by_reward;  ///< Held-out prompts before against after.
  std::vector<SideBySide> by_judge;

  nlohmann::ordered_json json() const;
};

/// Runs `rahf finetune` with these arguments; prints nothing but progress.
/// @return an empty model if --help or --check was given, and answered
Finetuned run_finetuning(const std::vector<std::string>& arguments);

}  // namespace rahf::program
