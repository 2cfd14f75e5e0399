#include "program.h"

#include <torch/version.h>

#include <exception>
#include <iomanip>
#include <iostream>

#include "rahf/core/train/interruption.h"
#include "verbs.h"

namespace rahf::program {
namespace {

void print_usage(std::ostream& out) {
  out << "usage: rahf VERB [--config FILE] [--option value ...]\n\nverbs:\n";
  for (const auto& verb : verbs()) {
    out << "  " << std::left << std::setw(12) << verb.name << ' ' << verb.summary << '\n';
  }
  out << "\n'rahf VERB --help' lists a verb's options, 'rahf --version' says which program this "
         "is.\n";
}

int run_verb(const Verb& verb, const std::vector<std::string>& arguments) {
  try {
    return verb.run(arguments);
  } catch (const UsageError& error) {
    std::cerr << "rahf " << verb.name << ": " << error.what() << "\n'rahf " << verb.name
              << " --help' lists the options.\n";
    return 2;
  } catch (const ConfigError& error) {
    std::cerr << "rahf " << verb.name << ": " << error.what() << '\n';
    return 2;
  } catch (const train::Interrupted& stopped) {
    std::cerr << "rahf " << verb.name << ": " << stopped.what() << '\n';
    return stopped.exit_status();
  } catch (const std::exception& error) {
    std::cerr << "rahf " << verb.name << ": " << error.what() << '\n';
    return 1;
  }
}

}  // namespace

int run_program(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    print_usage(std::cerr);
    return 2;
  }
  if (arguments[0] == "--version") {
    std::cout << "rahf " RAHF_VERSION ", LibTorch " TORCH_VERSION "\n";
    return std::cout.flush() ? 0 : 1;
  }
  if (arguments[0] == "--help" || arguments[0] == "-h") {
    print_usage(std::cout);
    return std::cout.flush() ? 0 : 1;
  }
  for (const auto& verb : verbs()) {
    if (arguments[0] != verb.name) continue;
    const int status = run_verb(verb, {arguments.begin() + 1, arguments.end()});
    if (std::cout.flush() || status != 0) return status;
    std::cerr << "rahf " << verb.name << ": standard output cannot be written\n";
    return 1;
  }
  std::cerr << "rahf: unknown verb '" << arguments[0] << "'\n";
  print_usage(std::cerr);
  return 2;
}

}  // namespace rahf::program
