#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "verbs.h"

namespace {

void print_usage(std::ostream& out) {
  out << "usage: rahf VERB [--config FILE] [--option value ...]\n\nverbs:\n";
  for (const auto& verb : rahf::program::verbs()) {
    const std::string name = verb.name;
    out << "  " << name << std::string(name.size() < 12 ? 12 - name.size() : 1, ' ')
        << verb.summary << '\n';
  }
  out << "\n'rahf VERB --help' lists a verb's options.\n";
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    print_usage(arguments.empty() ? std::cerr : std::cout);
    return arguments.empty() ? 2 : 0;
  }
  for (const auto& verb : rahf::program::verbs()) {
    if (arguments[0] != verb.name) continue;
    try {
      return verb.run({arguments.begin() + 1, arguments.end()});
    } catch (const rahf::UsageError& error) {
      std::cerr << "rahf " << verb.name << ": " << error.what() << "\n'rahf " << verb.name
                << " --help' lists the options.\n";
      return 2;
    } catch (const rahf::ConfigError& error) {
      std::cerr << "rahf " << verb.name << ": " << error.what() << '\n';
      return 2;
    } catch (const std::exception& error) {
      std::cerr << "rahf " << verb.name << ": " << error.what() << '\n';
      return 1;
    }
  }
  std::cerr << "rahf: unknown verb '" << arguments[0] << "'\n";
  print_usage(std::cerr);
  return 2;
}
