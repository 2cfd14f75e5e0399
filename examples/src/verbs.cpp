#include "verbs.h"

namespace rahf::program {

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all = {
  };
  return all;
}

}  // namespace rahf::program
