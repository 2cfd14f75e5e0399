#pragma once

#include <string>
#include <vector>

#include "verb.h"

namespace rahf::program {

// One file per verb: <verb>_verb.cpp. verbs() in verbs.cpp is the list the program offers.

int run_compare(const std::vector<std::string>& arguments);
int run_dataset(const std::vector<std::string>& arguments);
int run_finetune(const std::vector<std::string>& arguments);
int run_generate(const std::vector<std::string>& arguments);
int run_guide(const std::vector<std::string>& arguments);
int run_inpaint(const std::vector<std::string>& arguments);
int run_inspect(const std::vector<std::string>& arguments);
int run_evaluate(const std::vector<std::string>& arguments);
int run_overview(const std::vector<std::string>& arguments);
int run_parity(const std::vector<std::string>& arguments);
int run_predict(const std::vector<std::string>& arguments);
int run_repair(const std::vector<std::string>& arguments);
int run_study(const std::vector<std::string>& arguments);
int run_pretrain(const std::vector<std::string>& arguments);
int run_train(const std::vector<std::string>& arguments);
int run_world(const std::vector<std::string>& arguments);

const std::vector<Verb>& verbs();

}  // namespace rahf::program
