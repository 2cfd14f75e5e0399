#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace rahf::test {

/// Names and shapes of parameters.
using Manifest = std::map<std::string, std::vector<std::int64_t>>;

/// Reads tests/fixtures/manifests/NAME.txt, the parameters of a published checkpoint. In a line
/// such as `layers.{0..11}.{q,k}.weight [64, 64]` a range or a choice stands for several names.
Manifest read_manifest(const std::string& name);

/// One line per parameter that is in one of the two alone or has another shape there; empty if they
/// agree.
std::string manifest_differences(const torch::nn::Module& module, const Manifest& manifest);

}  // namespace rahf::test
