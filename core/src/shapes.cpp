#include "rahf/core/shapes.h"

#include <sstream>

namespace rahf {

void Shapes::check(std::string_view name, const torch::Tensor& tensor,
                   std::initializer_list<Dim> expected, std::optional<torch::Dtype> dtype) {
  bool ok = tensor.defined() && tensor.dim() == static_cast<std::int64_t>(expected.size());
  std::string conflict;
  std::int64_t axis = 0;
  for (const Dim& dim : expected) {
    if (!ok) break;
    const std::int64_t got = tensor.size(axis++);
    if (!dim.is_named()) {
      ok = got == dim.size();
      continue;
    }
    const auto [it, first_use] = sizes_.try_emplace(dim.name(), got);
    if (!first_use && it->second != got) {
      ok = false;
      conflict =
          " (" + dim.name() + " = " + std::to_string(it->second) + " in an earlier argument)";
    }
  }
  if (dtype && ok) ok = tensor.scalar_type() == *dtype;
  if (ok) return;

  std::ostringstream message;
  message << where_ << ": " << name << " must be [";
  const char* separator = "";
  for (const Dim& dim : expected) {
    message << separator;
    if (dim.is_named()) {
      message << dim.name();
    } else {
      message << dim.size();
    }
    separator = ", ";
  }
  message << ']';
  if (dtype) message << ' ' << *dtype;
  message << ", got ";
  if (tensor.defined()) {
    message << tensor.sizes();
    if (dtype) message << ' ' << tensor.scalar_type();
  } else {
    message << "an undefined tensor";
  }
  message << conflict;
  throw ShapeError(message.str());
}

}  // namespace rahf
