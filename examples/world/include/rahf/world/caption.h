#pragma once

#include <string>

namespace rahf::world {
}
