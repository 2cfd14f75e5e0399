#include "verbs.h"

namespace rahf::program {

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all = {
      {"dataset", "annotations to datasets, and their statistics", run_dataset},
      {"world", "writes closed-world pictures, annotations and truth", run_world},
      {"parity", "compares a module with another implementation's outputs", run_parity},
  };
  return all;
}

}  // namespace rahf::program
