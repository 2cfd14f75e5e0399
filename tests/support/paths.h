#pragma once

#include <filesystem>

namespace rahf::test {

/// Reference values that the scripts in tools/fixtures/ wrote.
std::filesystem::path fixtures();
/// The checkout.
std::filesystem::path source_folder();
/// The program `rahf`.
std::filesystem::path program();

}  // namespace rahf::test
