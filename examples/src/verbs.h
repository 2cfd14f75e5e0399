#pragma once

#include <string>
#include <vector>

#include "verb.h"

namespace rahf::program {

// One file per verb: <verb>_verb.cpp. verbs() in verbs.cpp is the list the program offers.

const std::vector<Verb>& verbs();

}  // namespace rahf::program
