#pragma once

#include <string>
#include <vector>

namespace rahf::program {

/// Runs the verb that arguments[0] names with the arguments after it; errors are printed to
/// standard error.
/// @return the exit status: 0, 1 (failed, or something was skipped) or 2 (wrong usage)
int run_program(const std::vector<std::string>& arguments);

}  // namespace rahf::program
