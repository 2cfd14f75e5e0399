#include "support/paths.h"

namespace rahf::test {

std::filesystem::path fixtures() { return source_folder() / "tests" / "fixtures"; }
std::filesystem::path source_folder() { return RAHF_SOURCE_DIR; }
std::filesystem::path program() { return RAHF_PROGRAM; }

}  // namespace rahf::test
