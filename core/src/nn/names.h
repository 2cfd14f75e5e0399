#pragma once

#include <string_view>

namespace rahf::nn {

/// Whether a name is what a pattern says; `*` stands for any text.
bool name_matches(std::string_view pattern, std::string_view name);

}  // namespace rahf::nn
