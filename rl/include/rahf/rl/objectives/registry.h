#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rahf/core/options.h"
#include "rahf/rl/objectives/objective.h"

namespace rahf::rl {

/// The options of one objective, of whatever type they are.
class ObjectiveSettings {
 public:
  virtual ~ObjectiveSettings() = default;
  /// Of these options, which must outlive the result. @param prefix  put before every name
  virtual std::vector<OptionField> fields(const std::string& prefix = "") = 0;
  /// @throws ConfigError naming the field.
  virtual void validate() const = 0;
  /// @throws ConfigError if the objective is not defined for this generator or reward, saying why.
  virtual std::unique_ptr<Objective> make(Stage stage) const = 0;
};

struct ObjectiveEntry {
  std::string name;     ///< As `objective = NAME` takes it.
  std::string summary;  ///< What it is, and its paper.
  /// With the defaults that implementations of this name use.
  std::function<std::unique_ptr<ObjectiveSettings>()> settings;
};

/// What its options' names begin with: "best_of_n." for best-of-n.
std::string option_prefix(const std::string& objective);

/// Every objective there is.
const std::vector<ObjectiveEntry>& objectives();
/// @throws ConfigError listing the names if there is none of this name.
const ObjectiveEntry& objective(const std::string& name);

}  // namespace rahf::rl
