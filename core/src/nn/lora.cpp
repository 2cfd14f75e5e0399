#include "rahf/core/nn/lora.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <sstream>
#include <utility>

#include "lora_file.h"
#include "names.h"
#include "rahf/core/nn/layers.h"

namespace rahf::nn {

namespace {

using Module = torch::nn::Module;

/// Layers that take adapters, by name, in the module's order.
std::vector<std::pair<std::string, std::shared_ptr<Module>>> adaptable(const Module& module) {
  std::vector<std::pair<std::string, std::shared_ptr<Module>>> layers;
  for (const auto& item : module.named_modules(/*name_prefix=*/{}, /*include_self=*/false)) {
    if (item.value()->as<LinearImpl>() || item.value()->as<Conv2dImpl>()) {
      layers.emplace_back(item.key(), item.value());
    }
  }
  return layers;
}

std::vector<Adapter>& adapters_of(Module& layer) {
  if (auto* linear = layer.as<LinearImpl>()) return linear->adapters;
  return layer.as<Conv2dImpl>()->adapters;
}

torch::Tensor& weight_of(Module& layer) {
  if (auto* linear = layer.as<LinearImpl>()) return linear->weight;
  return layer.as<Conv2dImpl>()->weight;
}

/// Shapes of both factors on a layer.
std::pair<std::vector<std::int64_t>, std::vector<std::int64_t>> factor_shapes(Module& layer,
                                                                              std::int64_t rank) {
  const auto sizes = weight_of(layer).sizes();
  auto down = sizes.vec();
  down[0] = rank;
  std::vector<std::int64_t> up(sizes.size(), 1);
  up[0] = sizes[0];
  up[1] = rank;
  return {down, up};
}

/// Why a layer cannot have an adapter, or nothing.
std::string objection(Module& layer, const std::string& name) {
  for (const auto& one : adapters_of(layer)) {
    if (one.name == name) return "has an adapter '" + name + "' already";
  }
  const auto* conv = layer.as<Conv2dImpl>();
  return conv != nullptr && conv->options.groups() != 1 ? "has groups" : "";
}

bool is_target(const std::string& layer, const std::string& target) {
  if (target.find('*') != std::string::npos) return name_matches(target, layer);
  return layer == target || layer.ends_with('.' + target);
}

std::string text(at::IntArrayRef sizes) {
  std::ostringstream out;
  out << sizes;
  return out.str();
}

}  // namespace

void LoraOptions::validate(std::string_view name) const {
  const auto require = [&](bool holds, const char* rule, const std::string& got) {
    if (!holds) throw ConfigError(std::string(name) + ": " + rule + ", got " + got);
  };
  require(!targets.empty(), "targets must not be empty", "none");
  require(rank > 0, "rank must be > 0", option_text::write(rank));
  require(alpha > 0, "alpha must be > 0", option_text::write(alpha));
}

Lora::Lora(Module& module, std::string name, const LoraOptions& options, const Randomness& random)
    : Lora(std::move(name)) {
  options.validate();
  std::vector<bool> used(options.targets.size());
  for (const auto& [layer, pointer] : adaptable(module)) {
    bool wanted = false;
    for (std::size_t i = 0; i < options.targets.size(); ++i) {
      if (!is_target(layer, options.targets[i])) continue;
      wanted = used[i] = true;
    }
    if (!wanted) continue;
    if (const auto reason = objection(*pointer, name_); !reason.empty()) {
      throw ConfigError("Lora: the layer " + layer + ' ' + reason);
    }
    parts_.push_back({layer, pointer, options.alpha});
  }
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i]) continue;
    throw ConfigError("Lora: targets must each match a layer, got '" + options.targets[i] +
                      "', which matches none");
  }
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const auto [down, up] = factor_shapes(*parts_[i].module, options.rank);
    const auto& weight = weight_of(*parts_[i].module);
    const auto generator =
        random.generator("lora." + name_, static_cast<std::int64_t>(i), torch::kCPU);
    const auto drawn = torch::randn(down, generator) / static_cast<double>(options.rank);
    attach(parts_[i], drawn.to(weight.options()), torch::zeros(up, weight.options()));
  }
}

Lora Lora::load(Module& module, std::string name, const std::filesystem::path& file,
                const std::string& part) {
  const auto read = LoraFile::read(file, part);
  const auto layers = adaptable(module);
  // kohya's names do not tell a dot from an underscore: the module's own names do.
  std::map<std::string, std::size_t> by_name;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    auto flat = layers[i].first;
    std::replace(flat.begin(), flat.end(), '.', '_');
    by_name.emplace(std::move(flat), i);
  }

  struct Ready {
    Part part;
    torch::Tensor down, up;
  };
  std::map<std::size_t, Ready> ready;  // in the module's order
  std::string problems;
  const auto problem = [&](const std::string& line) { problems += "\n  " + line; };
  for (const auto& [layer, entry] : read.layers) {
    auto flat = layer;
    std::replace(flat.begin(), flat.end(), '.', '_');
    const auto found = by_name.find(flat);
    if (found == by_name.end()) {
      problem("surplus " + layer);
      continue;
    }
    if (!entry.down.defined() || !entry.up.defined()) {
      problem(layer + " must have both factors");
      continue;
    }
    const auto& [true_name, pointer] = layers[found->second];
    if (const auto reason = objection(*pointer, name); !reason.empty()) {
      problem(true_name + ' ' + reason);
      continue;
    }
    const auto rank = entry.down.size(0);
    const auto [down, up] = factor_shapes(*pointer, rank);
    const auto elements = [](const std::vector<std::int64_t>& sizes) {
      return std::accumulate(sizes.begin(), sizes.end(), std::int64_t{1}, std::multiplies<>());
    };
    // A 1 x 1 convolution and a linear layer are written for one another.
    const bool fits = entry.down.dim() >= 2 && entry.up.dim() >= 2 && rank > 0 &&
                      entry.down.size(1) == down[1] && entry.up.size(0) == up[0] &&
                      entry.down.numel() == elements(down) && entry.up.numel() == elements(up);
    if (!fits) {
      problem(true_name + " must be " + text(down) + " and " + text(up) + ", got " +
              text(entry.down.sizes()) + " and " + text(entry.up.sizes()));
      continue;
    }
    const auto options = weight_of(*pointer).options();
    ready[found->second] = {{true_name, pointer, entry.alpha.value_or(static_cast<double>(rank))},
                            entry.down.reshape(down).to(options, /*non_blocking=*/false, true),
                            entry.up.reshape(up).to(options, /*non_blocking=*/false, true)};
  }
  if (!problems.empty()) {
    throw CheckpointError(file.string() + ": a LoRA must fit the " + part + ", but:" + problems);
  }
  Lora lora(std::move(name));
  for (auto& [index, one] : ready) {
    lora.parts_.push_back(one.part);
    lora.attach(one.part, one.down, one.up);
  }
  return lora;
}

void Lora::attach(const Part& part, torch::Tensor down, torch::Tensor up) {
  const auto rank = static_cast<double>(down.size(0));
  adapters_of(*part.module)
      .push_back({name_, std::move(down), std::move(up), weight_ * part.alpha / rank});
}

Adapter& Lora::adapter(const Part& part) const {
  for (auto& one : adapters_of(*part.module)) {
    if (one.name == name_) return one;
  }
  throw ConfigError("Lora: the adapter '" + name_ + "' is not on " + part.layer + " any more");
}

std::vector<std::string> Lora::layers() const {
  std::vector<std::string> names;
  for (const auto& part : parts_) names.push_back(part.layer);
  return names;
}

void Lora::set_weight(double weight) {
  const bool merged = merged_;
  if (merged) unmerge();
  weight_ = weight;
  for (const auto& part : parts_) {
    auto& one = adapter(part);
    one.scale = weight * part.alpha / static_cast<double>(one.down.size(0));
  }
  if (merged) merge();
}

std::vector<OptimisedParameter> Lora::parameters() {
  std::vector<OptimisedParameter> all;
  for (const auto& part : parts_) {
    auto& one = adapter(part);
    all.push_back({part.layer + ".lora_A.weight", one.down.requires_grad_()});
    all.push_back({part.layer + ".lora_B.weight", one.up.requires_grad_()});
  }
  return all;
}

void Lora::add_to_weights(double sign) {
  const torch::NoGradGuard no_grad;
  for (const auto& part : parts_) {
    const auto& one = adapter(part);
    const double scale = sign * weight_ * part.alpha / static_cast<double>(one.down.size(0));
    auto& weight = weight_of(*part.module);
    const auto up = one.up.flatten(1).to(torch::kFloat), down = one.down.flatten(1).to(up);
    weight.add_(torch::matmul(up, down).view_as(weight).to(weight), scale);
  }
}

void Lora::merge() {
  if (merged_) return;
  add_to_weights(1);
  for (const auto& part : parts_) adapter(part).scale = 0;
  merged_ = true;
}

void Lora::unmerge() {
  if (!merged_) return;
  add_to_weights(-1);
  merged_ = false;
  set_weight(weight_);
}

void Lora::detach() {
  if (merged_) unmerge();
  for (const auto& part : parts_) {
    std::erase_if(adapters_of(*part.module), [&](const auto& one) { return one.name == name_; });
  }
  parts_.clear();
}

void Lora::save(const std::filesystem::path& folder, const std::string& part_name) const {
  LoraFile file;
  for (const auto& part : parts_) {
    const auto& one = adapter(part);
    file.layers[part.layer] = {one.down.detach(), one.up.detach(), part.alpha};
  }
  file.write(folder, part_name);
}

}  // namespace rahf::nn
