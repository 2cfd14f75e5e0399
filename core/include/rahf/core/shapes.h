#pragma once

#include <torch/types.h>

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "rahf/core/error.h"

namespace rahf {

/// One expected dimension: a fixed size, or a name standing for any size.
class Dim {
 public:
  Dim(std::int64_t size) : size_(size) {}            // NOLINT: meant to convert
  Dim(int size) : size_(size) {}                     // NOLINT
  Dim(const char* name) : size_(-1), name_(name) {}  // NOLINT

  bool is_named() const { return size_ < 0; }
  std::int64_t size() const { return size_; }
  const std::string& name() const { return name_; }

 private:
  std::int64_t size_;
  std::string name_;
};

/// Checks the tensor arguments of one call against one set of named sizes, so
/// that "B" is the same number in every argument.
///
///     Shapes shapes("ScoreHead::forward");
///     shapes.check("tokens", tokens, {"B", "N", options.width});
///     shapes.check("mask", mask, {"B", "N"}, torch::kBool);
class Shapes {
 public:
  explicit Shapes(std::string_view where) : where_(where) {}

  /// @param dtype  required element type, or nothing to accept any
  /// @throws ShapeError naming the argument, what was expected and what came.
  void check(std::string_view name, const torch::Tensor& tensor,
             std::initializer_list<Dim> expected, std::optional<torch::Dtype> dtype = {});

 private:
  std::string where_;
  std::map<std::string, std::int64_t, std::less<>> sizes_;
};

}  // namespace rahf
