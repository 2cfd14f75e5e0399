#include "rahf/core/nn/weights.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <sstream>
#include <string_view>
#include <utility>

#include "names.h"
#include "rahf/core/error.h"

namespace rahf::nn {

bool name_matches(std::string_view pattern, std::string_view name) {
  const auto star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == name;
  if (name.substr(0, star) != pattern.substr(0, star)) return false;
  for (auto rest = star; rest <= name.size(); ++rest) {
    if (name_matches(pattern.substr(star + 1), name.substr(rest))) return true;
  }
  return false;
}

namespace {

std::string shape_text(at::IntArrayRef sizes) {
  std::ostringstream text;
  text << sizes;
  return text.str();
}

}  // namespace

io::TensorMap weights(const torch::nn::Module& module) {
  io::TensorMap all;
  for (const auto& item : module.named_parameters()) all.emplace(item.key(), item.value().detach());
  for (const auto& item : module.named_buffers()) all.emplace(item.key(), item.value().detach());
  return all;
}

namespace {

/// @param copied  called with each tensor once it has been copied
void load_all(torch::nn::Module& module, const io::TensorMap& tensors, const std::string& where,
              const WeightNames& names, const std::function<void(const torch::Tensor&)>& copied) {
  auto targets = weights(module);
  std::vector<std::pair<torch::Tensor, torch::Tensor>> copies;  // (to, from)
  std::string problems;
  for (const auto& [full_name, tensor] : tensors) {
    const auto name =
        full_name.starts_with(names.prefix) ? full_name.substr(names.prefix.size()) : full_name;
    const auto target = targets.find(name);
    if (target == targets.end()) {
      const bool ignored =
          std::any_of(names.ignore.begin(), names.ignore.end(),
                      [&](const auto& pattern) { return name_matches(pattern, name); });
      if (!ignored) problems += "\n  surplus " + full_name + ' ' + shape_text(tensor.sizes());
      continue;
    }
    if (tensor.sizes() != target->second.sizes()) {
      problems += "\n  " + full_name + " must be " + shape_text(target->second.sizes()) + ", got " +
                  shape_text(tensor.sizes());
    } else if (tensor.is_floating_point() != target->second.is_floating_point()) {
      problems += "\n  " + full_name + " must be " + c10::toString(target->second.scalar_type()) +
                  ", got " + c10::toString(tensor.scalar_type());
    } else {
      copies.emplace_back(target->second, tensor);
    }
    targets.erase(target);
  }
  for (const auto& [name, target] : targets) {
    problems += "\n  missing " + name + ' ' + shape_text(target.sizes());
  }
  if (!problems.empty()) {
    throw CheckpointError(where + ": the weights must be exactly the module's, but:" + problems);
  }
  const torch::NoGradGuard no_grad;
  for (auto& [to, from] : copies) {
    to.copy_(from);
    copied(from);
  }
}

}  // namespace

void load_weights(torch::nn::Module& module, const io::TensorMap& tensors, const std::string& where,
                  const WeightNames& names) {
  load_all(module, tensors, where, names, [](const torch::Tensor&) {});
}

void load_weights(torch::nn::Module& module, io::Safetensors&& files, const std::string& where,
                  const WeightNames& names) {
  const auto mapped = std::move(files);
  load_all(module, mapped.tensors, where, names,
           [&](const torch::Tensor& tensor) { mapped.release(tensor); });
}

void load_weights(torch::nn::Module& module, const std::filesystem::path& folder,
                  const WeightNames& names) {
  load_weights(module, io::read_weights(folder), folder.string(), names);
}

}  // namespace rahf::nn
