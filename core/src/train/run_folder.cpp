#include "rahf/core/train/run_folder.h"

#include <ATen/Parallel.h>
#include <torch/version.h>

#include <nlohmann/json.hpp>

#include "rahf/core/error.h"
#include "rahf/core/io/atomic_file.h"

namespace rahf::train {
namespace {

using Texts = std::map<std::string, std::string>;

Texts all_facts(const RunIdentity& identity) {
  Texts facts = identity.facts;
  facts["torch"] = TORCH_VERSION;
  facts["threads"] = std::to_string(at::get_num_threads());
  return facts;
}

Texts read_facts(const std::filesystem::path& file) {
  try {
    return nlohmann::json::parse(io::read_file(file)).get<Texts>();
  } catch (const nlohmann::json::exception& error) {
    throw CheckpointError(file.string() + ": must be a JSON object of texts: " + error.what());
  }
}

/// @throws ConfigError naming the first text that differs.
void require_same(const std::filesystem::path& file, const Texts& old, const Texts& now,
                  const Texts& defaults, const std::set<std::string>& free) {
  // What an option is in one of the two: "" if unknown there.
  const auto value = [&defaults](const Texts& texts, const std::string& name) {
    if (const auto it = texts.find(name); it != texts.end()) return it->second;
    const auto it = defaults.find(name);
    return it == defaults.end() ? std::string() : it->second;
  };
  std::set<std::string> names;
  for (const auto* texts : {&old, &now}) {
    for (const auto& [name, text] : *texts) names.insert(name);
  }
  for (const auto& name : names) {
    if (free.contains(name)) continue;
    const auto before = value(old, name), after = value(now, name);
    if (before == after) continue;
    throw ConfigError(file.string() + ": the run to be resumed has '" + name + " = " + before +
                      "', this one '" + name + " = " + after + "'");
  }
}

}  // namespace

RunFolder::RunFolder(Place place, const RunIdentity& identity)
    : path_(std::move(place.folder)), checkpoints_(path_ / "checkpoints", place.keep) {
  const auto config = path_ / "run.cfg", json = path_ / "run.json";
  const auto facts = all_facts(identity);
  if (!std::filesystem::exists(config)) {
    if (checkpoints_.latest()) {
      throw ConfigError(path_.string() + ": must have a run.cfg beside its checkpoints, has none");
    }
    io::write_atomically(json, nlohmann::json(facts).dump(2) + '\n');
    io::write_atomically(config, identity.config);  // last: its presence makes the run
    return;
  }
  if (!place.resume) {
    throw ConfigError(path_.string() +
                      ": holds a run already (--resume goes on with it, or choose another --out)");
  }
  require_same(config, read_config_values(config), identity.options, identity.defaults,
               identity.free);
  require_same(json, read_facts(json), facts, {}, identity.free);
  io::remove_scratch(path_);
  io::remove_scratch(path_ / "checkpoints");
}

}  // namespace rahf::train
