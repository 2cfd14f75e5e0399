#include "support/manifest.h"

#include <ATen/core/Formatting.h>

#include <fstream>
#include <sstream>
#include <stdexcept>

#include "support/paths.h"

namespace rahf::test {

namespace {

/// What stands between braces: `0..11`, or `q,k,v`.
std::vector<std::string> choices(const std::string& text) {
  std::vector<std::string> all;
  if (const auto dots = text.find(".."); dots != std::string::npos) {
    const int last = std::stoi(text.substr(dots + 2));
    for (int i = std::stoi(text); i <= last; ++i) all.push_back(std::to_string(i));
    return all;
  }
  std::stringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) all.push_back(part);
  return all;
}

void expand(const std::string& pattern, const std::vector<std::int64_t>& shape, Manifest& into) {
  const auto open = pattern.find('{'), close = pattern.find('}');
  if (open == std::string::npos) {
    if (!into.emplace(pattern, shape).second) throw std::runtime_error(pattern + " comes twice");
    return;
  }
  for (const auto& choice : choices(pattern.substr(open + 1, close - open - 1))) {
    expand(pattern.substr(0, open) + choice + pattern.substr(close + 1), shape, into);
  }
}

}  // namespace

Manifest read_manifest(const std::string& name) {
  const auto file = fixtures() / "manifests" / (name + ".txt");
  std::ifstream in(file);
  if (!in) throw std::runtime_error(file.string() + " cannot be read");
  Manifest all;
  for (std::string pattern, rest; in >> pattern && std::getline(in, rest);) {
    for (auto& c : rest) {
      if (c == '[' || c == ']' || c == ',') c = ' ';
    }
    std::istringstream numbers(rest);
    std::vector<std::int64_t> shape;
    for (std::int64_t size; numbers >> size;) shape.push_back(size);
    expand(pattern, shape, all);
  }
  return all;
}

std::string manifest_differences(const torch::nn::Module& module, const Manifest& manifest) {
  std::ostringstream text;
  auto left = manifest;
  for (const auto& item : module.named_parameters()) {
    const auto found = left.find(item.key());
    if (found == left.end()) {
      text << "surplus " << item.key() << ' ' << item.value().sizes() << '\n';
      continue;
    }
    if (item.value().sizes() != at::IntArrayRef(found->second)) {
      text << item.key() << " must be " << at::IntArrayRef(found->second) << ", is "
           << item.value().sizes() << '\n';
    }
    left.erase(found);
  }
  for (const auto& [name, shape] : left) {
    text << "missing " << name << ' ' << at::IntArrayRef(shape) << '\n';
  }
  return text.str();
}

}  // namespace rahf::test
