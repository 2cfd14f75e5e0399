#include "program.h"

int main(int argc, char** argv) { return rahf::program::run_program({argv + 1, argv + argc}); }
